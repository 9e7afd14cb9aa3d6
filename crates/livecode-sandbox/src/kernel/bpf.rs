//! Programs for the kernel's filter machine (bpf(4), seccomp(2)), put together from parts. A part begins with the number
//! of the system call in the accumulator, ends in a verdict wherever it is left, and jumps only forward.

use libc::sock_filter;

/// A part of a program.
pub(crate) type Instructions = Vec<sock_filter>;

/// Where a filter finds the number of a system call, its architecture, and its arguments (`struct seccomp_data`).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
const ARGUMENT_BYTES: u32 = 8;

// linux/bpf_common.h
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_NOT_LESS: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// The low or the high half of an argument.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    Low(u32),
    High(u32),
}

impl Word {
    fn offset(self) -> u32 {
        let (argument, half) = match self {
            Self::Low(argument) => (argument, u32::from(cfg!(target_endian = "big"))),
            Self::High(argument) => (argument, u32::from(cfg!(target_endian = "little"))),
        };
        ARGUMENTS + argument * ARGUMENT_BYTES + half * 4
    }
}

/// Always this verdict.
pub(crate) fn verdict(action: u32) -> Instructions {
    vec![step(RETURN, action)]
}

/// `then` where the bits of the word under `mask` are `value`, or else `otherwise`.
pub(crate) fn if_equal(
    word: Word,
    mask: u32,
    value: u32,
    then: &[sock_filter],
    otherwise: &[sock_filter],
) -> Instructions {
    let mut part = vec![step(LOAD, word.offset())];
    if mask != u32::MAX {
        part.push(step(AND, mask));
    }
    branch(part, JUMP_EQUAL, value, then, otherwise)
}

/// `then` where any of the bits is set in the word, or else `otherwise`.
pub(crate) fn if_any_bit(
    word: Word,
    bits: u32,
    then: &[sock_filter],
    otherwise: &[sock_filter],
) -> Instructions {
    branch(vec![step(LOAD, word.offset())], JUMP_ANY_BIT, bits, then, otherwise)
}

/// A whole program: `parts` says from which number of a system call on which part answers, in order and from 0 on. A call of
/// another architecture than `architecture` gets the verdict `foreign`.
pub(crate) fn program(architecture: u32, foreign: u32, parts: &[(u32, Instructions)]) -> Instructions {
    let known = [vec![step(LOAD, NUMBER)], search(parts)].concat();
    branch(vec![step(LOAD, ARCHITECTURE)], JUMP_EQUAL, architecture, &known, &verdict(foreign))
}

/// Halves what is left with each comparison.
fn search(parts: &[(u32, Instructions)]) -> Instructions {
    match parts {
        [] => vec![],
        [(_, only)] => only.clone(),
        _ => {
            let (lower, upper) = parts.split_at(parts.len() / 2);
            branch(vec![], JUMP_NOT_LESS, upper[0].0, &search(upper), &search(lower))
        }
    }
}

fn branch(
    mut part: Instructions,
    comparison: u16,
    value: u32,
    then: &[sock_filter],
    otherwise: &[sock_filter],
) -> Instructions {
    // A comparison jumps no further than 255 steps, a plain jump anywhere.
    part.push(sock_filter { code: comparison, jt: 0, jf: 1, k: value });
    part.push(step(JUMP, otherwise.len() as u32));
    part.extend_from_slice(otherwise);
    part.extend_from_slice(then);
    part
}

fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the kernel would make of a call.
    pub(crate) fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let load = |offset: u32| match offset {
            NUMBER => number,
            ARCHITECTURE => architecture,
            _ => {
                let (argument, rest) =
                    ((offset - ARGUMENTS) / ARGUMENT_BYTES, (offset - ARGUMENTS) % ARGUMENT_BYTES);
                let bytes = arguments[argument as usize].to_ne_bytes();
                u32::from_ne_bytes(*bytes[rest as usize..].first_chunk().expect("a word within an argument"))
            }
        };
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let mut jump = |is_so: bool| at += usize::from(if is_so { jt } else { jf });
            match code {
                LOAD => accumulator = load(k),
                AND => accumulator &= k,
                JUMP => at += k as usize,
                JUMP_EQUAL => jump(accumulator == k),
                JUMP_NOT_LESS => jump(accumulator >= k),
                JUMP_ANY_BIT => jump(accumulator & k != 0),
                RETURN => return k,
                code => panic!("no such step: {code:#x}"),
            }
        }
    }
}
