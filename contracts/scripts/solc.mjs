#!/usr/bin/env node
// forge looks for its compiler in the working directory and then starts it in contracts/: the same path must lead to it from both.
import '../../scripts/solc.mjs'
