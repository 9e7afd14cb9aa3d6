//! What strangers send is held within one budget, parsed without excess, and given up in time.
