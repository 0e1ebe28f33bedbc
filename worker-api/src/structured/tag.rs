//! The bytes that say what follows.

/// Begins a message; the version comes next.
pub(super) const VERSION: u8 = 0xff;
/// The version that V8 has written since 2022.
pub(super) const LATEST: u8 = 15;
/// The oldest version in which all of this reads the same.
pub(super) const OLDEST: u8 = 13;

/// Nothing: two-byte texts begin at an even place.
pub(super) const PADDING: u8 = 0;

pub(super) const UNDEFINED: u8 = b'_';
pub(super) const NULL: u8 = b'0';
pub(super) const TRUE: u8 = b'T';
pub(super) const FALSE: u8 = b'F';
pub(super) const INT32: u8 = b'I';
pub(super) const UINT32: u8 = b'U';
pub(super) const DOUBLE: u8 = b'N';
pub(super) const BIG_INT: u8 = b'Z';
pub(super) const ONE_BYTE_TEXT: u8 = b'"';
pub(super) const TWO_BYTE_TEXT: u8 = b'c';
pub(super) const UTF8_TEXT: u8 = b'S';

/// An object that was there before.
pub(super) const REFERENCE: u8 = b'^';

pub(super) const OBJECT: u8 = b'o';
pub(super) const OBJECT_END: u8 = b'{';
pub(super) const DENSE_ARRAY: u8 = b'A';
pub(super) const DENSE_ARRAY_END: u8 = b'$';
pub(super) const HOLE: u8 = b'-';
pub(super) const SPARSE_ARRAY: u8 = b'a';
pub(super) const SPARSE_ARRAY_END: u8 = b'@';
pub(super) const MAP: u8 = b';';
pub(super) const MAP_END: u8 = b':';
pub(super) const SET: u8 = b'\'';
pub(super) const SET_END: u8 = b',';

pub(super) const DATE: u8 = b'D';
pub(super) const REG_EXP: u8 = b'R';
pub(super) const TRUE_OBJECT: u8 = b'y';
pub(super) const FALSE_OBJECT: u8 = b'x';
pub(super) const NUMBER_OBJECT: u8 = b'n';
pub(super) const BIG_INT_OBJECT: u8 = b'z';
pub(super) const STRING_OBJECT: u8 = b's';
pub(super) const ARRAY_BUFFER: u8 = b'B';
pub(super) const RESIZABLE_ARRAY_BUFFER: u8 = b'~';

pub(super) const ERROR: u8 = b'r';
pub(super) const ERROR_MESSAGE: u8 = b'm';
pub(super) const ERROR_CAUSE: u8 = b'c';
pub(super) const ERROR_STACK: u8 = b's';
pub(super) const ERROR_END: u8 = b'.';

/// What V8 leaves to Node.
pub(super) const HOST_OBJECT: u8 = b'\\';
/// Node: a view of bytes follows.
pub(super) const HOST_VIEW: u32 = 0;
/// Node: a plain value follows, the copy of a native object.
pub(super) const HOST_COPY: u32 = 1;
