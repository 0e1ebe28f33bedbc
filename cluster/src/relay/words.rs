//! What somebody has said last, for people.

/// Of somebody's last words so many bytes are told with his failure.
const LONGEST_SAYING: usize = 2048;
const LONGEST_WORD: usize = 80;

/// The last words as the end of a sentence, on one line: as many of the last lines as have room.
pub(crate) fn saying(words: &[String]) -> String {
    let mut room = LONGEST_SAYING;
    let fits = |line: &&String| {
        let has_room = line.len() <= room;
        room = room.saturating_sub(line.len());
        has_room
    };
    let mut lines: Vec<String> =
        words.iter().rev().take_while(fits).map(|line| printable(line)).collect();
    lines.reverse();
    lines.retain(|line| !line.is_empty());
    if lines.is_empty() { String::new() } else { format!(", saying: {}", lines.join(" / ")) }
}

/// The last line of them if it is short, but for what Rust says after each panic.
pub(crate) fn last_word(words: &[String]) -> String {
    let lines = words.iter().rev().map(|line| printable(line));
    let last = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with("note: "));
    let short = last.filter(|line| line.len() <= LONGEST_WORD);
    short.map(|line| format!(", saying: {line}")).unwrap_or_default()
}

fn printable(line: &str) -> String {
    let text = line.replace(char::is_control, " ");
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn last_words_are_one_line() {
        assert_eq!(saying(&[]), "");
        assert_eq!(saying(&words(&["", " "])), "");
        assert_eq!(saying(&words(&["no database"])), ", saying: no database");
        let panic = words(&["panicked at main.rs:1:", "\x1b[31mno file\r", "note: run with X"]);
        let text = ", saying: panicked at main.rs:1: / [31mno file / note: run with X";
        assert_eq!(saying(&panic), text);
        assert_eq!(last_word(&panic), ", saying: [31mno file");
    }

    #[test]
    fn they_have_a_bound() {
        let many: Vec<String> = (0..20).map(|line| format!("{line:1000}")).collect();
        assert_eq!(saying(&many), ", saying: 18 / 19");
        assert_eq!(last_word(&words(&["first", &"x".repeat(81)])), "");
    }
}
