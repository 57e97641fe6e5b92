/** How many streams a server has now, and how much each of them takes at once. */
import { MANY_STREAMS_TILE_BYTES, TILE_BYTES } from "./limits.ts";

/** More streams than this take small pieces. */
const FEW_STREAMS = 16;

/** Few streams are fastest with large pieces; many hold less memory with small ones. The bytes are the same. */
export class StreamLoad {
  #count = 0;

  /** Streams that are open now. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of the tiles and pieces of a stream, from now on. */
  get tileByteLength(): number {
    return this.#count <= FEW_STREAMS ? TILE_BYTES : MANY_STREAMS_TILE_BYTES;
  }

  /** Counts a stream, until what comes back is called. */
  enter(): () => void {
    this.#count++;
    let isOpen = true;
    return () => {
      if (isOpen) this.#count--;
      isOpen = false;
    };
  }
}
