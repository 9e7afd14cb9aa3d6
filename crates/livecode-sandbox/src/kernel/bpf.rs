//! An assembler for seccomp filters: classic BPF programs (bpf(4), seccomp(2)), which are put
//! together from blocks of instructions. Every path through a block ends in a return, and jumps
//! only go forward.

use libc::sock_filter;

/// A block of a program, or a whole program.
pub(crate) type Instructions = Vec<sock_filter>;

// Offsets of the fields of `struct seccomp_data`, which a filter reads.
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;
const ARGUMENT_BYTES: u32 = 8;

// Instruction codes (linux/bpf_common.h).
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER_OR_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// The low or the high 32 bits of the system call's argument with this index. A filter can only
/// load 32 bits at once.
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
        ARGUMENTS_OFFSET + argument * ARGUMENT_BYTES + half * 4
    }
}

/// Returns `action` (`SECCOMP_RET_…`) in any case.
pub(crate) fn return_action(action: u32) -> Instructions {
    vec![instruction(RETURN, action)]
}

/// Continues with `then` if the bits of the word under `mask` are equal to `value`, and with
/// `otherwise` if not.
pub(crate) fn if_equal(
    word: Word,
    mask: u32,
    value: u32,
    then: &[sock_filter],
    otherwise: &[sock_filter],
) -> Instructions {
    let mut block = vec![instruction(LOAD, word.offset())];
    if mask != u32::MAX {
        block.push(instruction(AND, mask));
    }
    branch(block, JUMP_EQUAL, value, then, otherwise)
}

/// Continues with `then` if any of `bits` is set in the word, and with `otherwise` if not.
pub(crate) fn if_any_bit(
    word: Word,
    bits: u32,
    then: &[sock_filter],
    otherwise: &[sock_filter],
) -> Instructions {
    branch(vec![instruction(LOAD, word.offset())], JUMP_ANY_BIT, bits, then, otherwise)
}

/// Assembles a whole program. Each item of `blocks` is the first system call number of a range and
/// the block that decides about that range; the items are sorted, and the first begins at 0. A
/// call of another architecture than `architecture` returns the action `foreign`.
pub(crate) fn program(architecture: u32, foreign: u32, blocks: &[(u32, Instructions)]) -> Instructions {
    let native = [vec![instruction(LOAD, NUMBER_OFFSET)], binary_search(blocks)].concat();
    branch(
        vec![instruction(LOAD, ARCHITECTURE_OFFSET)],
        JUMP_EQUAL,
        architecture,
        &native,
        &return_action(foreign),
    )
}

/// Finds the block for the system call number in the accumulator; each comparison halves the
/// blocks that are left.
fn binary_search(blocks: &[(u32, Instructions)]) -> Instructions {
    match blocks {
        [] => vec![],
        [(_, only)] => only.clone(),
        _ => {
            let (lower, upper) = blocks.split_at(blocks.len() / 2);
            let first_upper = upper[0].0;
            branch(vec![], JUMP_GREATER_OR_EQUAL, first_upper, &binary_search(upper), &binary_search(lower))
        }
    }
}

/// Appends a comparison of the accumulator with `value`, and the blocks for its two results.
fn branch(
    mut block: Instructions,
    comparison: u16,
    value: u32,
    then: &[sock_filter],
    otherwise: &[sock_filter],
) -> Instructions {
    // A comparison jumps at most 255 instructions, an unconditional jump any distance.
    if let Ok(jt) = u8::try_from(otherwise.len()) {
        block.push(sock_filter { code: comparison, jt, jf: 0, k: value });
    } else {
        block.push(sock_filter { code: comparison, jt: 0, jf: 1, k: value });
        block.push(instruction(JUMP, otherwise.len() as u32));
    }
    block.extend_from_slice(otherwise);
    block.extend_from_slice(then);
    block
}

fn instruction(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Interprets a filter as the kernel does, and returns its action for a call.
    pub(crate) fn run_filter(
        program: &[sock_filter],
        architecture: u32,
        number: u32,
        arguments: [u64; 6],
    ) -> u32 {
        let load = |offset: u32| match offset {
            NUMBER_OFFSET => number,
            ARCHITECTURE_OFFSET => architecture,
            _ => {
                let (argument, rest) = (
                    (offset - ARGUMENTS_OFFSET) / ARGUMENT_BYTES,
                    (offset - ARGUMENTS_OFFSET) % ARGUMENT_BYTES,
                );
                let bytes = arguments[argument as usize].to_ne_bytes();
                u32::from_ne_bytes(*bytes[rest as usize..].first_chunk().expect("a word within an argument"))
            }
        };
        let (mut position, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[position];
            position += 1;
            let mut jump_if = |condition: bool| position += usize::from(if condition { jt } else { jf });
            match code {
                LOAD => accumulator = load(k),
                AND => accumulator &= k,
                JUMP => position += k as usize,
                JUMP_EQUAL => jump_if(accumulator == k),
                JUMP_GREATER_OR_EQUAL => jump_if(accumulator >= k),
                JUMP_ANY_BIT => jump_if(accumulator & k != 0),
                RETURN => return k,
                code => panic!("unknown instruction: {code:#x}"),
            }
        }
    }
}
