// Ed25519 for the simulated machine: the same signatures, computed once (sim_signatures.cc says
// how). Any thread.

#ifndef TESTS_SUPPORT_SIM_SIGNATURES_H_
#define TESTS_SUPPORT_SIM_SIGNATURES_H_

namespace tlogfs_test {

// Does nothing; a program that calls it is linked with the functions that remember.
void RememberSignatures();

}  // namespace tlogfs_test

#endif  // TESTS_SUPPORT_SIM_SIGNATURES_H_
