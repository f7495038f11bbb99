//! The live table in the terminal. It draws what `rows` says and reads keys; it decides nothing
//! about presence.

use std::time::{Duration, Instant};

use client::{Event, State, reduce};
use crossterm::event::{self, Event as Input, KeyCode, KeyEventKind, KeyModifiers};
use protocol::message::ServerMessage;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::rows::{Mood, Row, rows};
use super::words;
use crate::clock;
use crate::connect::Link;
use crate::failure::Failure;
use crate::signals::Interrupts;

/// How long a key may wait.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The ages in the table are drawn anew so often.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// Messages that are taken before the next look at the keys.
const MESSAGES_MAX: usize = 256;
/// Width of the column of names.
const NAME_COLUMNS: usize = 24;

/// Shows the table until the person quits.
pub(super) fn run(link: &mut Link, interrupts: &Interrupts, url: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Failed(format!("the terminal: {error}"));
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let _restored = Restore;
    let mut view = View::new(url);
    let mut draw_at = clock::now();
    while !interrupts.came() {
        let mut dirty = take_messages(link, &mut view)?;
        while event::poll(Duration::ZERO).map_err(failed)? {
            match view.on_input(&event::read().map_err(failed)?) {
                Then::Quit => return Ok(()),
                Then::Draw => dirty = true,
                Then::Nothing => {}
            }
        }
        if dirty || clock::now() >= draw_at {
            draw_at = clock::now() + DRAW_EVERY;
            let now_secs = clock::since_epoch().as_secs();
            terminal.draw(|frame| view.draw(frame, now_secs)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Gives the terminal back, however the table ends.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn take_messages(link: &mut Link, view: &mut View) -> Result<bool, Failure> {
    let mut wait = LOOK_EVERY;
    for taken in 0..MESSAGES_MAX {
        match link.next(wait)? {
            None => return Ok(taken > 0),
            Some(event) => view.on_event(event),
        }
        wait = Duration::ZERO;
    }
    Ok(true)
}

/// What an input asks for.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    Draw,
    Quit,
}

/// How the connection is, for the line at the top.
#[derive(Debug)]
enum Standing {
    Connecting,
    Connected,
    Lost { why: String, again_at: Instant },
}

struct View {
    url: String,
    state: State,
    standing: Standing,
    /// What the server last complained about.
    complaint: Option<String>,
    scrolled: u16,
}

impl View {
    fn new(url: &str) -> Self {
        Self {
            url: words::plain(url),
            state: State::default(),
            standing: Standing::Connecting,
            complaint: None,
            scrolled: 0,
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Connected | Event::Moving => self.standing = Standing::Connecting,
            Event::Disconnected { why, retry_in } => {
                self.state.disconnected();
                let again_at = clock::now() + retry_in;
                self.standing = Standing::Lost { why: why.to_string(), again_at };
            }
            Event::Message(received) => {
                let message = received.message();
                match &message {
                    ServerMessage::Welcome(_) => {
                        self.standing = Standing::Connected;
                        self.complaint = None;
                    }
                    ServerMessage::Error { message, .. } => {
                        self.complaint = Some(words::plain(message));
                    }
                    _ => {}
                }
                reduce(&mut self.state, &message);
            }
            // The link turns an end into the command's failure.
            Event::Unknown(_) | Event::Ended { .. } => {}
        }
    }

    fn on_input(&mut self, input: &Input) -> Then {
        match input {
            Input::Resize(..) => Then::Draw,
            Input::Key(key) if key.kind != KeyEventKind::Release => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('c') if control => return Then::Quit,
                    KeyCode::Char('q') | KeyCode::Esc => return Then::Quit,
                    KeyCode::Up | KeyCode::Char('k') => self.scroll(-1),
                    KeyCode::Down | KeyCode::Char('j') => self.scroll(1),
                    KeyCode::PageUp => self.scroll(-10),
                    KeyCode::PageDown => self.scroll(10),
                    KeyCode::Home => self.scrolled = 0,
                    _ => return Then::Nothing,
                }
                Then::Draw
            }
            _ => Then::Nothing,
        }
    }

    fn scroll(&mut self, lines: i16) {
        self.scrolled = self.scrolled.saturating_add_signed(lines);
    }

    fn draw(&mut self, frame: &mut Frame<'_>, now_secs: u64) {
        let lines = table_lines(&rows(&self.state, now_secs));
        let areas =
            Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]);
        let [top, middle, bottom] = areas.areas(frame.area());
        let most = (lines.len() as u16).saturating_sub(middle.height);
        self.scrolled = self.scrolled.min(most);
        frame.render_widget(self.standing_line(), top);
        frame.render_widget(Paragraph::new(lines).scroll((self.scrolled, 0)), middle);
        let keys = if most > 0 { "q quits · arrows scroll" } else { "q quits" };
        let bottom_line = match &self.complaint {
            Some(complaint) => Line::from(format!("the server says: {complaint}")).yellow(),
            None => Line::from(keys).dim(),
        };
        frame.render_widget(bottom_line, bottom);
    }

    fn standing_line(&self) -> Line<'static> {
        let me = self.state.me().map_or_else(String::new, |me| words::plain(&me.name));
        match &self.standing {
            Standing::Connecting => Line::from(format!("… connecting to {}", self.url)).yellow(),
            Standing::Lost { why, again_at } => {
                let secs = again_at.saturating_duration_since(clock::now()).as_secs();
                Line::from(format!("✗ {}; trying again in {secs} s", words::plain(why))).red()
            }
            Standing::Connected if !self.state.is_fresh() && self.state.me().is_some() => {
                Line::from("? the server has lost its store; what is shown is not known").yellow()
            }
            Standing::Connected => {
                Line::from(format!("● connected as {me} · {}", self.url)).green()
            }
        }
    }
}

fn table_lines(rows: &[Row]) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut group = None;
    for row in rows {
        if group != Some(row.group) {
            group = Some(row.group);
            lines.push(Line::from(row.group.title()).bold());
        }
        let (mark, style) = match row.mood {
            Mood::Here => ("●", Style::new().fg(Color::Green)),
            Mood::Away => ("○", Style::new().dim()),
            Mood::Unknown => ("?", Style::new().fg(Color::Yellow)),
        };
        let name: String = row.name.chars().take(NAME_COLUMNS).collect();
        lines.push(Line::from(vec![
            Span::styled(format!("  {mark} "), style),
            Span::raw(format!("{name:<NAME_COLUMNS$} ")),
            Span::styled(
                row.doing.clone(),
                if row.mood == Mood::Here { Style::new() } else { style },
            ),
        ]));
    }
    lines
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::rows::tests::state;
    use super::*;

    fn view() -> View {
        View { state: state(), standing: Standing::Connected, ..View::new("ws://h/ws") }
    }

    fn drawn(view: &mut View, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(70, height)).unwrap();
        terminal.draw(|frame| view.draw(frame, 1_000)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..70).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn the_table_shows_groups_people_and_the_connection() {
        let lines = drawn(&mut view(), 20);
        assert_eq!(lines[0], "● connected as ada · ws://h/ws");
        assert_eq!(lines[1], "You");
        assert_eq!(lines[8], "  ● bob                      debugging · vscode · rust");
        assert_eq!(lines[11], "Offline");
        assert_eq!(lines[12], "  ○ flo                      1 min ago");
        assert_eq!(lines[19], "q quits");
    }

    #[test]
    fn a_lost_connection_is_told_and_nothing_is_shown_as_true() {
        let mut view = view();
        let why = client::ClientError::Lost("the server hung up".into());
        view.on_event(Event::Disconnected { why, retry_in: Duration::from_secs(9) });
        let lines = drawn(&mut view, 20);
        assert!(lines[0].starts_with("✗ the connection was lost"), "{}", lines[0]);
        assert!(lines.iter().skip(1).all(|line| !line.contains('●')), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("unknown")));
    }

    #[test]
    fn a_list_longer_than_the_screen_scrolls_to_its_end_and_no_further() {
        let mut view = view();
        for _ in 0..50 {
            let down = Input::Key(KeyEvent::new(KeyCode::Down, KeyModifiers::NONE));
            assert_eq!(view.on_input(&down), Then::Draw);
        }
        let lines = drawn(&mut view, 8);
        assert!(lines[6].contains("hal"), "{lines:?}");
        assert!(lines[7].contains("scroll"));
    }

    #[test]
    fn q_and_control_c_quit() {
        let mut view = view();
        for (code, modifiers) in
            [(KeyCode::Char('q'), KeyModifiers::NONE), (KeyCode::Char('c'), KeyModifiers::CONTROL)]
        {
            assert_eq!(view.on_input(&Input::Key(KeyEvent::new(code, modifiers))), Then::Quit);
        }
        let other = Input::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::NONE));
        assert_eq!(view.on_input(&other), Then::Nothing);
    }

    #[test]
    fn a_very_small_terminal_is_survived() {
        for height in 1..4 {
            drawn(&mut view(), height);
        }
    }
}
