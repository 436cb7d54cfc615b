// Progress: a bar on the last line of a terminal, gone when it is done; nothing elsewhere.
//
//   [=============>              ]  47 %  4,700,000 of 10,000,000
//
// One thread. Tested by tests/mountd/run_test.cc.

#ifndef MOUNTD_PROGRESS_H_
#define MOUNTD_PROGRESS_H_

#include <cstdint>
#include <ostream>

namespace mountd {

class Progress {
 public:
  Progress(std::ostream& out, bool is_terminal) : out_(out), is_terminal_(is_terminal) {}
  ~Progress();  // Wipes the line.
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Show(uint64_t done, uint64_t total);

 private:
  std::ostream& out_;
  const bool is_terminal_;
  int shown_percent_ = -1;
};

}  // namespace mountd

#endif  // MOUNTD_PROGRESS_H_
