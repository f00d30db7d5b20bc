//! The memory of another process, read through `/proc` as a debugger would.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use crate::support::leaks::Sentinels;

/// The bytes around a match, for a failure's text: the neighbours show whose buffer it is.
const AROUND: usize = 120;

/// The open files of one process. They stay readable, whatever the process forbids later.
pub struct ProcessMemory {
    maps: File,
    bytes: File,
}

impl ProcessMemory {
    /// Opens a process that permits it, or any if the test runs as root.
    pub fn open(pid: u32) -> io::Result<Self> {
        let open = |name| File::open(format!("/proc/{pid}/{name}"));
        Ok(Self { maps: open("maps")?, bytes: open("mem")? })
    }

    /// The sentinels in all private writable mappings except stacks, each with its surroundings.
    pub fn search(&mut self, sentinels: &Sentinels) -> Vec<String> {
        let mut found = Vec::new();
        for (range, line) in self.mappings() {
            let bytes = self.read(&range);
            // The sentinels are ASCII, so replacing invalid UTF-8 hides none of them.
            let text = String::from_utf8_lossy(&bytes);
            let sightings = sentinels.sightings(&text).into_iter();
            found.extend(sightings.map(|(name, at)| format!("{name} in {line}: {}", surroundings(&text, at))));
        }
        found
    }

    fn mappings(&mut self) -> Vec<(Range<u64>, String)> {
        let mut text = String::new();
        self.maps.rewind().expect("it can be read again");
        self.maps.read_to_string(&mut text).expect("the mappings can be read");
        let mut guarded = 0;
        let mut mappings = Vec::new();
        for line in text.lines() {
            let (range, permissions) = parse(line);
            // A thread's stack begins after a single inaccessible page; no other mapping does.
            let is_stack = line.ends_with("[stack]") || range.start == guarded;
            if permissions == "---p" && range.end - range.start == 4096 {
                guarded = range.end;
            } else if permissions == "rw-p" && !is_stack {
                mappings.push((range, line.to_owned()));
            }
        }
        assert!(!mappings.is_empty(), "the process has ended");
        mappings
    }

    /// A region that is unmapped by now holds nothing.
    fn read(&mut self, range: &Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).expect("it fits into memory")];
        let whole = self.bytes.seek(SeekFrom::Start(range.start)).and_then(|_| self.bytes.read_exact(&mut bytes));
        if whole.is_ok() { bytes } else { Vec::new() }
    }
}

/// `7f2c4a000000-7f2c4a021000 rw-p 00000000 00:00 0`
fn parse(line: &str) -> (Range<u64>, &str) {
    let mut words = line.split_whitespace();
    let (Some(range), Some(permissions)) = (words.next(), words.next()) else { panic!("not a mapping: {line}") };
    let (start, end) = range.split_once('-').expect("a range");
    let number = |text| u64::from_str_radix(text, 16).expect("a number");
    (number(start)..number(end), permissions)
}

fn surroundings(text: &str, at: usize) -> String {
    let start = text.floor_char_boundary(at.saturating_sub(AROUND));
    let end = text.ceil_char_boundary((at + 3 * AROUND).min(text.len()));
    text[start..end].escape_debug().collect()
}
