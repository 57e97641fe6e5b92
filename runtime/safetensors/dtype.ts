/** The dtypes of the safetensors format, by their exact names, with their width in bits. */
export const DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** A dtype of the format. */
export type Dtype = keyof typeof DTYPE_BITS;

/** The dtypes that an adapter can transform. */
export const FLOAT_DTYPES = ["F32", "F16", "BF16"] as const;

/** A dtype that an adapter can transform. */
export type FloatDtype = (typeof FLOAT_DTYPES)[number];

/** True for F32, F16 and BF16. */
export function isFloatDtype(dtype: Dtype): dtype is FloatDtype {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** Bytes of one element of a float dtype. */
export function elementByteLength(dtype: FloatDtype): 2 | 4 {
  return dtype === "F32" ? 4 : 2;
}
