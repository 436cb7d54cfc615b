// Result<T> and Status: how everything here that can fail for a reason outside the program fails.
//
// A Code says what the caller can do about it; the message says what was attempted, on what, and
// why it failed, on one line. An error does not say that nothing happened: after a failed write or
// sync the bytes may or may not be on the disk. Broken invariants are not errors: see check.h.
//
// Both are tl::expected (the shape of C++23's std::expected), made [[nodiscard]]. Values: each is
// one thread's at a time. Tested by tests/logcore/util/result_test.cc.

#ifndef LOGCORE_UTIL_RESULT_H_
#define LOGCORE_UTIL_RESULT_H_

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace logcore {

enum class Code {
  kNotFound,  // There is no such thing: ask for something else.
  kExists,    // It is already there.
  kInvalid,   // The input is malformed: mend the input.
  kTooLarge,  // The input is well formed but over a limit.
  kDenied,    // The operating system refuses access.
  kNoSpace,   // The disk or quota is full; nothing was added. Try again when there is room.
  kBusy,      // Try again in a moment.
  kReadOnly,  // This store, opened so, does not take appends.
  kCorrupt,   // Stored bytes are not what they were: stop, and check.
  kIo,        // The operating system failed: stop.
};

// Whether an append that fails so has added nothing, and the next one may succeed.
constexpr bool IsOfOneAppend(Code code) {
  return code == Code::kNoSpace || code == Code::kTooLarge || code == Code::kBusy;
}

struct Error {
  Code code;
  std::string message;
};

template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

inline tl::unexpected<Error> Fail(Code code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

// The same error, with the context it happened in put before it: "open store: read config: ...".
inline tl::unexpected<Error> Within(std::string_view context, Error error) {
  error.message = std::string(context) + ": " + error.message;
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace logcore

#define LOGCORE_CONCAT_(a, b) a##b
#define LOGCORE_CONCAT(a, b) LOGCORE_CONCAT_(a, b)

// Leaves the function with the error of `expression`, if it has one.
#define RETURN_IF_ERROR(expression)                                        \
  do {                                                                     \
    if (auto status_ = (expression); !status_.has_value()) {               \
      return tl::unexpected<::logcore::Error>(std::move(status_).error()); \
    }                                                                      \
  } while (false)

// ASSIGN_OR_RETURN(const int x, F()): declares x from F()'s value, or leaves with its error.
#define ASSIGN_OR_RETURN(declaration, expression) \
  ASSIGN_OR_RETURN_(LOGCORE_CONCAT(result_, __LINE__), declaration, expression)
#define ASSIGN_OR_RETURN_(result, declaration, expression)              \
  auto result = (expression);                                           \
  if (!result.has_value()) {                                            \
    return tl::unexpected<::logcore::Error>(std::move(result).error()); \
  }                                                                     \
  declaration = std::move(result).value()

#endif  // LOGCORE_UTIL_RESULT_H_
