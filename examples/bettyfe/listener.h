// The listening socket. One thread. Tested by tests/mount/bettyfe_test.py.

#ifndef EXAMPLES_BETTYFE_LISTENER_H_
#define EXAMPLES_BETTYFE_LISTENER_H_

#include <string>

namespace bettyfe {

// Listens at HOST:PORT: an address or a name, an IPv6 address in brackets; port 0 takes any that is
// free. Throws std::runtime_error that says why it cannot.
int Listen(const std::string& address);

// The HOST:PORT that a socket is bound to.
std::string BoundTo(int socket);

}  // namespace bettyfe

#endif  // EXAMPLES_BETTYFE_LISTENER_H_
