'use strict';
// What only an advanced channel carries, by name; tests/support/values.rs is the twin.
const { isDeepStrictEqual } = require('util');

const values = {
    map: () => new Map([[1, 'one'], ['set', new Set([true, null])]]),
    set: () => new Set(['a', 2n, undefined]),
    date: () => new Date(1e12),
    bigint: () => -(2n ** 100n),
    bytes: () => Uint8Array.of(0, 1, 255),
    floats: () => Float64Array.of(1.5, -2),
    longs: () => BigUint64Array.of(2n ** 64n - 1n),
    view: () => new DataView(new ArrayBuffer(2)),
    buffer: () => Buffer.from('hello'),
    plain: () => Uint8Array.of(7).buffer,
    undefined: () => ({ a: undefined, b: [undefined, { c: undefined }] }),
    holes: () => [1, , 3],
    expression: () => /a+b/gi,
    zero: () => -0,
    text: () => 'é\u{1F980}\u2028',
};

exports.make = (name) => values[name]();
exports.is = (name, value) => isDeepStrictEqual(value, values[name]());

// Something that JSON cannot say, and that is no tree.
exports.cycle = () => {
    const cycle = { map: new Map() };
    cycle.map.set('me', cycle);
    return cycle;
};

// The byte that all of them are; undefined if they differ.
exports.allOf = (bytes) => {
    return Buffer.compare(bytes, Buffer.alloc(bytes.length, bytes[0])) ? undefined : bytes[0];
};
