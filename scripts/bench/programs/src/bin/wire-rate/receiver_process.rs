//! The sender's view of the process that receives.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::receiver::ROLE;

/// The receiving process: told what to receive over its stdin, answers line by line.
pub struct ReceiverProcess {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Address of its interface.
    pub mac: [u8; 6],
}

impl ReceiverProcess {
    pub fn start(namespace: &str) -> Self {
        let own_program = std::env::current_exe().expect("a process knows its own program");
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(own_program)
            .arg(ROLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started again");
        let input = child.stdin.take().expect("it was piped");
        let output = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut receiver = Self { child, input, output, mac: [0; 6] };
        let numbers = receiver.answer();
        for (byte, number) in receiver.mac.iter_mut().zip(numbers) {
            *byte = u8::try_from(number).expect("an address is bytes");
        }
        receiver
    }

    /// Has it receive by one method from now on; none is `idle`. Returns what it answers: after
    /// `idle`, the frames or bytes that the method before has received.
    pub fn switch(&mut self, method: &str) -> u64 {
        writeln!(self.input, "{method}").expect("the receiver lives");
        self.answer()[0]
    }

    fn answer(&mut self) -> Vec<u64> {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the receiver answers");
        line.split_whitespace().map(|word| word.parse().expect("it answers numbers")).collect()
    }
}

impl Drop for ReceiverProcess {
    fn drop(&mut self) {
        let _ = writeln!(self.input, "end");
        let _ = self.child.wait();
    }
}
