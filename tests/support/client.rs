//! A small HTTP client.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use super::PATIENCE;

/// A connection that stays open between requests.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    /// The server has said that it closes the connection.
    pub(crate) is_closing: bool,
}

impl Client {
    pub(crate) fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), is_closing: false })
    }

    /// The body of the answer to a request.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<String> {
        self.ask(path, "keep-alive")?;
        self.answer()
    }

    /// The body of the answer to the last request on this connection.
    pub(crate) fn get_once(&mut self, path: &str) -> io::Result<String> {
        self.ask(path, "close")?;
        self.answer()
    }

    /// Sends a request; on loopback it is in the server's socket then.
    pub(crate) fn ask(&mut self, path: &str, connection: &str) -> io::Result<()> {
        write!(
            self.stream.get_ref(),
            "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: {connection}\r\n\r\n"
        )
    }

    /// Waits until an answer begins.
    pub(crate) fn wait_for_answer(&mut self) -> io::Result<()> {
        match self.stream.fill_buf()? {
            [] => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The body of the answer to the oldest request.
    pub(crate) fn answer(&mut self) -> io::Result<String> {
        let mut status = String::new();
        if self.stream.read_line(&mut status)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !status.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(status));
        }
        let mut length = None;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            self.is_closing |= line == "connection: close";
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
        }
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length, 0);
                self.stream.read_exact(&mut body)?;
            }
            None => drop(self.stream.read_to_end(&mut body)?),
        }
        String::from_utf8(body).map_err(io::Error::other)
    }
}

/// The answer to one request over a connection of its own.
pub(crate) fn get(address: &str) -> io::Result<String> {
    get_as(address, "/")
}

pub(crate) fn get_as(address: &str, path: &str) -> io::Result<String> {
    Client::connect(address)?.get_once(path)
}

/// All that a server says by itself over one connection, until it closes that.
pub(crate) fn hear(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
