//! How a master and its workers are, live.

use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    thread,
    time::{Duration, Instant},
};

use cluster::control::{Client, Report};
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Modifier, Style},
    text::Text,
    widgets::{Row, Table},
};

use crate::{
    arguments::Top,
    failure::{Failure, Result},
    status::{as_json, now, report},
    table::{COLUMNS, Load, Loads, cells, heading},
    usage::Usage,
};

/// The shortest interval: the master has other things to do.
const SHORTEST: Duration = Duration::from_millis(100);

pub(crate) fn top(arguments: &Top) -> Result {
    let interval = arguments.interval.0.max(SHORTEST);
    let mut client = arguments.target.connect()?;
    if arguments.target.json {
        return print(&mut client, interval);
    }
    if !io::stdout().is_terminal() {
        return Err(Failure::Usage("`top` needs a terminal; for programs there is --json".into()));
    }
    let mut terminal = ratatui::try_init().map_err(|error| Failure::Failed(error.to_string()))?;
    let outcome = show(&mut client, &mut terminal, interval);
    ratatui::restore();
    outcome
}

/// A report a line, until nobody reads.
fn print(client: &mut Client, interval: Duration) -> Result {
    let mut meter = Meter::default();
    loop {
        let report = report(client)?;
        let line = as_json(&report, &meter.read(&report, Instant::now()));
        let mut out = io::stdout().lock();
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Failure::Failed(format!("cannot print: {error}"))),
            Ok(()) => drop(out),
        }
        thread::sleep(interval);
    }
}

fn show(client: &mut Client, terminal: &mut DefaultTerminal, interval: Duration) -> Result {
    let broken = |error: io::Error| Failure::Failed(format!("the terminal: {error}"));
    let mut meter = Meter::default();
    loop {
        let report = report(client)?;
        let loads = meter.read(&report, Instant::now());
        terminal.draw(|frame| draw(frame, &report, &loads)).map_err(broken)?;
        let next = Instant::now() + interval;
        while event::poll(next.saturating_duration_since(Instant::now())).map_err(broken)? {
            match event::read().map_err(broken)? {
                Event::Key(key) if is_end(key.code, key.modifiers) => return Ok(()),
                Event::Resize(..) => {
                    terminal.draw(|frame| draw(frame, &report, &loads)).map_err(broken)?;
                }
                _ => {}
            }
        }
    }
}

fn is_end(code: KeyCode, modifiers: KeyModifiers) -> bool {
    match code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

fn draw(frame: &mut Frame<'_>, report: &Report, loads: &Loads) {
    let heading = Text::from(heading(report, now()));
    let lines = u16::try_from(heading.height()).unwrap_or(u16::MAX);
    let parts = [Constraint::Length(lines.saturating_add(1)), Constraint::Min(0)];
    let [top, rest] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(heading, top);
    let rows: Vec<[String; 11]> = report.slots.iter().map(|row| cells(row, loads)).collect();
    let width = |place: usize| {
        let cells = rows.iter().filter_map(|row| row.get(place));
        let head = COLUMNS.get(place).map_or(0, |head| head.len());
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(head);
        Constraint::Length(u16::try_from(longest).unwrap_or(u16::MAX))
    };
    let widths: Vec<Constraint> = (0..COLUMNS.len()).map(width).collect();
    let head = Row::new(COLUMNS).style(Style::new().add_modifier(Modifier::REVERSED));
    let table = Table::new(rows.into_iter().map(Row::new), widths).column_spacing(2).header(head);
    frame.render_widget(table, rest);
}

/// The load of each process between two looks.
#[derive(Debug, Default)]
struct Meter {
    before: HashMap<u32, (Instant, Duration)>,
}

impl Meter {
    fn read(&mut self, report: &Report, now: Instant) -> Loads {
        let pids = report.slots.iter().filter_map(|row| row.pid);
        let usages = pids.filter_map(|pid| Some((pid, Usage::of(pid)?)));
        self.note(usages.collect(), now)
    }

    fn note(&mut self, usages: HashMap<u32, Usage>, now: Instant) -> Loads {
        let load = |(&pid, &usage): (&u32, &Usage)| {
            let (then, cpu) = self.before.get(&pid).copied().unwrap_or((now, usage.cpu));
            let passed = now.saturating_duration_since(then).as_secs_f64();
            let used = usage.cpu.saturating_sub(cpu).as_secs_f64();
            (pid, Load { usage, cpu: if passed > 0.0 { used / passed } else { 0.0 } })
        };
        let loads = usages.iter().map(load).collect();
        self.before = usages.into_iter().map(|(pid, usage)| (pid, (now, usage.cpu))).collect();
        loads
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::{Terminal, backend::TestBackend};

    #[test]
    fn a_screen() {
        let mut terminal = Terminal::new(TestBackend::new(100, 6)).unwrap();
        let report = crate::table::tests::example();
        terminal.draw(|frame| draw(frame, &report, &Loads::default())).unwrap();
        let screen: Vec<String> = (0..6)
            .map(|y| {
                let buffer = terminal.backend().buffer();
                (0..100).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().into()
            })
            .collect();
        assert!(screen[0].starts_with("shop (pid 7): running, 1 of 2 workers ready"));
        assert!(screen[2].starts_with("SLOT  WORKER  PID  GEN  STATE"), "{screen:#?}");
        assert!(screen[3].starts_with("0     4       8    3    ready    1m01s  12"), "{screen:#?}");
        assert!(screen[4].starts_with("1     -       -    -    waiting"), "{screen:#?}");
    }

    #[test]
    fn the_load_between_two_looks() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let at = |millis| Usage { cpu: Duration::from_millis(millis), memory: 0 };
        let first = meter.note(HashMap::from([(1, at(5000))]), start);
        assert!(first[&1].cpu.abs() < 1e-9, "nothing to compare with");
        let later = start + Duration::from_secs(2);
        let second = meter.note(HashMap::from([(1, at(6000)), (2, at(9))]), later);
        assert!((second[&1].cpu - 0.5).abs() < 1e-9);
        assert!(second[&2].cpu.abs() < 1e-9);
    }
}
