//! Bytes and descriptors over a Unix stream socket.

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::{
    libc,
    sys::socket::{MsgFlags, send},
};

/// `SCM_MAX_FD`: the kernel puts no more into one message, so nothing is cut for want of room.
const MOST_DESCRIPTORS: usize = 253;
const CONTROL_BYTES: usize = control_space(MOST_DESCRIPTORS);

const fn control_space(descriptors: usize) -> usize {
    // SAFETY: CMSG_SPACE only computes a length.
    unsafe { libc::CMSG_SPACE((descriptors * mem::size_of::<RawFd>()) as u32) as usize }
}

/// Room for control messages, aligned as their headers want it.
#[repr(C)]
union Control<const N: usize> {
    bytes: [u8; N],
    _align: libc::cmsghdr,
}

/// What one call of [`receive`] brought.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// How many bytes; none means that the other end has closed.
    pub(crate) bytes: usize,
    /// Whether the kernel dropped descriptors, because this process can open no more.
    pub(crate) truncated: bool,
}

/// Reads what is there, without waiting; descriptors are close-on-exec from birth.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<Arrival> {
    let mut control = mem::MaybeUninit::<Control<CONTROL_BYTES>>::uninit();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeros is a valid msghdr; every pointer put into it outlives the call.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_BYTES as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: the header describes memory of ours, writable for the lengths it states.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: recvmsg filled the header and the control bytes that it describes.
    unsafe { collect(&header, descriptors) };
    Ok(Arrival { bytes: count as usize, truncated: header.msg_flags & libc::MSG_CTRUNC != 0 })
}

/// # Safety
///
/// The header must be as `recvmsg` left it, its control memory still there.
unsafe fn collect(header: &libc::msghdr, descriptors: &mut Vec<OwnedFd>) {
    // SAFETY: the caller's promise; the CMSG functions stay inside msg_controllen.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let head = ptr::read_unaligned(message);
            if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_RIGHTS {
                let bytes = head.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let first = libc::CMSG_DATA(message).cast::<RawFd>();
                for index in 0..bytes / mem::size_of::<RawFd>() {
                    // The kernel made this number for us just now: we are its only owner.
                    let number = ptr::read_unaligned(first.add(index));
                    descriptors.push(OwnedFd::from_raw_fd(number));
                }
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
}

/// Writes what fits, without waiting and without `SIGPIPE`; the descriptor, if any, goes
/// with the first byte.
pub(crate) fn transmit(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<usize> {
    const ONE: usize = control_space(1);
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    let Some(descriptor) = descriptor else {
        // The kernel has less to read than with sendmsg.
        let flags = MsgFlags::from_bits_truncate(flags);
        return Ok(send(socket.as_raw_fd(), bytes, flags)?);
    };
    let mut control = Control::<ONE> { bytes: [0; ONE] };
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid msghdr; sendmsg only reads what its pointers name.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = ONE as _;
    // SAFETY: the control memory is aligned and has room for one header and one number.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(&raw const header);
        (*message).cmsg_level = libc::SOL_SOCKET;
        (*message).cmsg_type = libc::SCM_RIGHTS;
        (*message).cmsg_len = libc::CMSG_LEN(mem::size_of::<RawFd>() as u32) as _;
        ptr::write_unaligned(libc::CMSG_DATA(message).cast(), descriptor.as_raw_fd());
    }
    // SAFETY: the header describes memory of ours that lives until the call returns.
    let count = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, flags) };
    if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
}

/// Reads one byte and the descriptor with it, without waiting; `None` at the end.
pub(crate) fn receive_one(socket: BorrowedFd<'_>) -> io::Result<Option<(u8, Option<OwnedFd>)>> {
    const ONE: usize = control_space(1);
    let mut control = Control::<ONE> { bytes: [0; ONE] };
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: all zeros is a valid msghdr; every pointer put into it outlives the call.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = ONE as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: the header describes memory of ours, writable for the lengths it states.
    match unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) } {
        count if count < 0 => return Err(io::Error::last_os_error()),
        0 => return Ok(None),
        _ => {}
    }
    // SAFETY: recvmsg filled the header and the control bytes, where there is room for one
    // message with one number.
    let descriptor = unsafe {
        let message = libc::CMSG_FIRSTHDR(&raw const header);
        let has_one = !message.is_null()
            && (*message).cmsg_level == libc::SOL_SOCKET
            && (*message).cmsg_type == libc::SCM_RIGHTS;
        // The kernel made this number for us just now: we are its only owner.
        has_one.then(|| {
            OwnedFd::from_raw_fd(ptr::read_unaligned(libc::CMSG_DATA(message).cast::<RawFd>()))
        })
    };
    Ok(Some((byte, descriptor)))
}

/// How many bytes wait to be read from a stream socket.
///
/// # Errors
///
/// What the system says.
pub fn unread(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, which lives through the call.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(count.max(0) as usize) }
}
