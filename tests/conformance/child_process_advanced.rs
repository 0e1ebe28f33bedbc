//! `serialization: 'advanced'`: what JSON cannot say.

use cluster::{
    Serialization,
    child_process::Command,
    structured::{Value, View, ViewKind},
};

use crate::{
    family::{End, child, expect_silence, guarded, hear, under_node},
    house::{Form, rows},
    support::{
        PATIENCE,
        values::{LARGE, SIZES, bytes, message, values},
    },
};

rows! {
    child_process_advanced_serialization: worker primary;
    child_process_advanced_serialization_largebuffer: worker primary;
    child_process_advanced_serialization_splitted_length_field: rust worker primary;
    child_process_fork_advanced_header_serialization: rust;
}

fn advanced(form: Form, scenario: &str) -> Command {
    let mut command = child(form, scenario);
    command.serialization(Serialization::Advanced);
    command
}

fn child_process_advanced_serialization(form: Form) {
    if form == Form::Primary {
        return under_node("echo values", &["echo"]);
    }
    let mut echo = guarded(advanced(form, "echo").fork());
    for (name, value) in values() {
        let value = message([("value", value)]); // Node sends no bare BigInt
        echo.send_structured(&value).unwrap();
        assert_eq!(hear(&echo).structured(), Some(&value), "{name}");
    }
    // What holds itself is no value here: it is lost, and nothing after it.
    echo.send("cycle").unwrap();
    let error = echo.recv_timeout(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error:?}");
    echo.send("next").unwrap();
    assert_eq!(hear(&echo).value, "next");
    echo.disconnect();
    assert_eq!(echo.end(), End::Code(0));
}

/// They come whole and in the order in which they were sent.
fn buffers(form: Form, scenario: &str, sizes: &[usize], expected: impl Fn(usize, u8) -> Value) {
    if form == Form::Primary {
        return under_node(scenario, &[scenario]);
    }
    let mut one = guarded(advanced(form, scenario).fork());
    for (&size, byte) in sizes.iter().zip(0..) {
        let message = hear(&one);
        assert!(message.structured() == Some(&expected(size, byte)), "number {byte}");
    }
    expect_silence(&one);
    assert_eq!(one.end(), End::Code(0));
}

fn child_process_advanced_serialization_largebuffer(form: Form) {
    buffers(form, "large arrays", &LARGE, |size, byte| {
        View::new(ViewKind::Uint8Array, vec![byte; size]).unwrap().into()
    });
}

fn child_process_advanced_serialization_splitted_length_field(form: Form) {
    buffers(form, "buffers", &SIZES, bytes);
}

/// Lengths of what never comes.
fn child_process_fork_advanced_header_serialization(_: Form) {
    for length in [1, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX] {
        let octal = length.to_be_bytes().map(|byte: u8| format!("\\{byte:03o}")).concat();
        let mut line = Command::shell(format!("printf '{octal}' >&3"));
        let mut one = guarded(line.serialization(Serialization::Advanced).fork());
        // Too long is an error, and cut off is the end.
        let outcome = one.recv_timeout(PATIENCE);
        assert!(!matches!(outcome, Ok(Some(_))), "{outcome:?}");
        assert_eq!(one.end(), End::Code(0));
    }
}
