#include "tests/bench/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <iostream>
#include <thread>
#include <vector>

#include "logcore/tlog/entry_bundle.h"
#include "tests/bench/measure.h"

namespace bench {
namespace {

int MustOpen(const std::string& file, int flags) {
  const int fd = open(file.c_str(), flags | O_CLOEXEC);
  if (fd < 0) Fail(file + ": " + strerror(errno));
  return fd;
}

void MustWrite(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written <= 0) Fail(std::string("write: ") + strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void MustClose(int fd) {
  if (close(fd) != 0) Fail(std::string("close: ") + strerror(errno));
}

uint64_t ReadFile(const std::string& file, std::string* buffer) {
  const int fd = MustOpen(file, O_RDONLY);
  uint64_t length = 0;
  while (true) {
    const ssize_t got = read(fd, buffer->data(), buffer->size());
    if (got < 0) Fail(file + ": " + strerror(errno));
    if (got == 0) break;
    length += static_cast<uint64_t>(got);
  }
  MustClose(fd);
  return length;
}

}  // namespace

void MeasureLines(const std::string& file, size_t length, int writers, double seconds,
                  bool open_each) {
  std::vector<Latencies> latencies(static_cast<size_t>(writers));
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (size_t i = 0; i < latencies.size(); ++i) {
    threads.emplace_back([&, i] {
      const std::string line = MakeLine(i, length - 1) + "\n";
      int fd = open_each ? -1 : MustOpen(file, O_WRONLY | O_APPEND);
      while (SecondsSince(start) < seconds) {
        const auto began = Clock::now();
        if (open_each) fd = MustOpen(file, O_WRONLY | O_APPEND);
        MustWrite(fd, line);
        if (open_each) MustClose(fd);
        latencies[i].Add(began);
      }
      if (!open_each) MustClose(fd);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double took = SecondsSince(start);
  Latencies all;
  for (const Latencies& one : latencies) all.Add(one);
  Report().Rate(static_cast<double>(all.count()), took).Add(&all).Print();
}

void MeasureCopy(const std::string& file, size_t length, uint64_t bytes, size_t piece,
                 bool frames) {
  std::string text;
  uint64_t lines = 0;
  while (text.size() < (16 << 20)) {
    const std::string line = MakeLine(lines++, length - 1);
    if (frames) {
      logcore::AppendFrame(&text, line);
    } else {
      text += line + "\n";
    }
  }
  const uint64_t rounds = std::max<uint64_t>(1, bytes / text.size());
  const auto start = Clock::now();
  const int fd = MustOpen(file, O_WRONLY | O_APPEND);
  for (uint64_t round = 0; round < rounds; ++round) {
    for (size_t at = 0; at < text.size(); at += piece) {
      MustWrite(fd, std::string_view(text).substr(at, piece));
    }
  }
  MustClose(fd);
  const double took = SecondsSince(start);
  Report()
      .Rate(static_cast<double>(rounds * text.size()), took)
      .Add("entries", static_cast<double>(rounds * lines))
      .Print();
}

void MeasureReads(int readers, int rounds) {
  std::vector<std::string> files;
  for (std::string line; std::getline(std::cin, line);) files.push_back(line);
  if (files.empty()) Fail("no files are named");
  std::vector<uint64_t> lengths(static_cast<size_t>(readers));
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (size_t i = 0; i < lengths.size(); ++i) {
    threads.emplace_back([&, i] {
      std::string buffer(1 << 20, '\0');
      for (int round = 0; round < rounds; ++round) {
        for (size_t at = 0; at < files.size(); ++at) {
          lengths[i] +=
              ReadFile(files[(at + i * files.size() / lengths.size()) % files.size()], &buffer);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double took = SecondsSince(start);
  uint64_t bytes = 0;
  for (const uint64_t length : lengths) bytes += length;
  Report()
      .Rate(static_cast<double>(files.size()) * readers * rounds, took)
      .Add("bytes", static_cast<double>(bytes))
      .Print();
}

}  // namespace bench
