//! Readers of long journals cost little, and delay nobody.
