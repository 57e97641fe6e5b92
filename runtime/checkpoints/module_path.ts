/** `model.layers.0.mlp.fc` → `fc`. */
export function lastPart(modulePath: string): string {
  return modulePath.slice(modulePath.lastIndexOf(".") + 1);
}
