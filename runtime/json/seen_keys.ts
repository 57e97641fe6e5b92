/** Up to here a list is searched faster than a set is made; a tensor has three keys. */
const SHORT_LIST = 8;

/** The keys of one object so far, to refuse the second of a name: readers differ in which of the two they take. */
export class SeenKeys {
  readonly #list: string[] = [];
  #set: Set<string> | undefined;

  /** False if the key was there. */
  add(key: string): boolean {
    if (this.#set === undefined) {
      if (this.#list.includes(key)) return false;
      this.#list.push(key);
      if (this.#list.length > SHORT_LIST) this.#set = new Set(this.#list);
      return true;
    }
    const before = this.#set.size;
    return this.#set.add(key).size > before;
  }
}
