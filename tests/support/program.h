#pragma once
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

extern char** environ;

namespace sing::test {

/// The program under test, run as a user would: its own process, output through pipes.
class Program {
 public:
  /// `name` is sing, sing-train, ...; found in the build folder.
  Program(const std::string& name, const std::vector<std::string>& words,
          const std::vector<std::string>& environment = {}) {
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
      throw std::runtime_error("pipe failed");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    std::string path = std::string(SING_BINARY_DIR) + "/" + name;
    std::vector<std::string> arguments = {path};
    arguments.insert(arguments.end(), words.begin(), words.end());
    std::vector<char*> argv, envp;
    for (std::string& word : arguments) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<std::string> own = environment;
    for (char** entry = environ; *entry; ++entry) own.emplace_back(*entry);
    for (std::string& entry : own) envp.push_back(entry.data());
    envp.push_back(nullptr);
    const int code = posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    out_ = out[0];
    err_ = err[0];
    if (code != 0) throw std::runtime_error("cannot start " + path);
  }
  ~Program() {
    if (!ended_) {
      ::kill(pid_, SIGKILL);
      wait();
    }
    close(out_);
    close(err_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void kill(int signal) const { ::kill(pid_, signal); }

  /// Reads until stderr holds `text`, at most 60 s; false when the program ended before.
  bool wait_for(const std::string& text) {
    while (error.find(text) == std::string::npos)
      if (!read_some()) return error.find(text) != std::string::npos;
    return true;
  }
  /// Reads for so long.
  void run_for(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end)
      if (!read_some(1)) return;
  }

  /// Exit code; 128 + n when a signal ended it.
  int wait() {
    while (read_some()) {
    }
    int status = 0;
    if (!ended_) wait4(pid_, &status, 0, &usage);
    if (!ended_) code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    ended_ = true;
    return code_;
  }

  std::string output, error;  ///< stdout and stderr so far
  rusage usage{};             ///< after wait()

 private:
  bool read_some(int timeout_ms = 60000) {
    pollfd fds[2] = {{out_open_ ? out_ : -1, POLLIN, 0}, {err_open_ ? err_ : -1, POLLIN, 0}};
    if (!out_open_ && !err_open_) return false;
    const int ready = poll(fds, 2, timeout_ms);
    if (ready == 0 && timeout_ms > 1000) throw std::runtime_error("the program hangs: " + error);
    char buffer[4096];
    for (int i = 0; i < 2; ++i) {
      if (!(fds[i].revents & (POLLIN | POLLHUP))) continue;
      const ssize_t n = read(fds[i].fd, buffer, sizeof buffer);
      if (n > 0) (i == 0 ? output : error).append(buffer, static_cast<size_t>(n));
      if (n <= 0) (i == 0 ? out_open_ : err_open_) = false;
    }
    return true;
  }

  pid_t pid_ = -1;
  int out_ = -1, err_ = -1, code_ = -1;
  bool out_open_ = true, err_open_ = true, ended_ = false;
};

/// Runs to the end.
struct Finished {
  int code;
  std::string output, error;
  double cpu_seconds;
};
inline Finished run_program(const std::string& name, const std::vector<std::string>& words,
                            const std::vector<std::string>& environment = {}) {
  Program program(name, words, environment);
  const int code = program.wait();
  const auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + t.tv_usec * 1e-6; };
  return {code, program.output, program.error,
          seconds(program.usage.ru_utime) + seconds(program.usage.ru_stime)};
}

}  // namespace sing::test
