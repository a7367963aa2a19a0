"use strict";

/* Arrays as a .npz, the way NumPy writes it: a zip whose files are not packed, each of them a .npy. */

const KINDS_OF_NUMBERS = new Map([[Float32Array, "<f4"], [Float64Array, "<f8"], [Int32Array, "<i4"]]);

const CRC = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

function joined(...parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/* Numbers of 2 or 4 bytes, the least one first: [size, value], ... */
function little(...numbers) {
  return Uint8Array.from(numbers.flatMap(([size, value]) => Array.from({ length: size }, (_, index) => (value >>> (8 * index)) & 255)));
}

/* An array of some shape, row after row, as the content of a .npy. */
function npy({ shape, values }) {
  const kind = KINDS_OF_NUMBERS.get(values.constructor);
  const sides = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const words = `{'descr': '${kind}', 'fortran_order': False, 'shape': (${sides}), }`;
  const header = `${words.padEnd(64 * Math.ceil((words.length + 11) / 64) - 11)}\n`;
  const content = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return joined(new TextEncoder().encode("~NUMPY").fill(0x93, 0, 1), little([1, 1], [1, 0], [2, header.length]), new TextEncoder().encode(header), content);
}

/* { name: { shape, values: a typed array } } as the bytes of a .npz. */
function npz(arrays) {
  const files = [];
  const list = [];
  let at = 0;
  for (const [name, array] of Object.entries(arrays)) {
    const [path, content] = [new TextEncoder().encode(`${name}.npy`), npy(array)];
    const crc = crc32(content);
    // Version 2.0, names in UTF-8, stored, the first of all dates, checksum, size twice, length of the name, nothing more.
    const about = little([2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, crc], [4, content.length], [4, content.length], [2, path.length], [2, 0]);
    files.push(little([4, 0x04034b50]), about, path, content);
    list.push(little([4, 0x02014b50], [2, 20]), about, little([2, 0], [2, 0], [2, 0], [4, 0], [4, at]), path);
    at += 4 + about.length + path.length + content.length;
  }
  const end = joined(...list);
  return joined(...files, end, little([4, 0x06054b50], [2, 0], [2, 0], [2, files.length / 4], [2, files.length / 4], [4, end.length], [4, at], [2, 0]));
}
