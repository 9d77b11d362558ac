#pragma once
#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "sing/data/rde.h"

/// Exact solvers for RDE: they see the picture and nothing else, and share no code with the
/// generator. That they agree with it shows that a picture determines its answer.
namespace sing::test {

struct RdeSolution {
  std::vector<data::rde::Box> boxes;  ///< box k has id k + 1
  std::vector<uint8_t> ids;           ///< (size, size), 0 is the background
  std::vector<int> levels;            ///< of each box
};

/// level(a) = 1 + highest level among the boxes a covers; a covers b when id a is seen in b's box.
/// nullopt when boxes cover each other in a circle.
inline std::optional<std::vector<int>> levels_from_ids(const std::vector<uint8_t>& ids, int size,
                                                       const std::vector<data::rde::Box>& boxes) {
  const size_t n = boxes.size();
  std::vector<std::vector<bool>> covers(n, std::vector<bool>(n));
  for (size_t b = 0; b < n; ++b) {
    uint32_t seen = 0;  // bit id: that id lies in the box of b
    for (int y = boxes[b].y0; y <= boxes[b].y1; ++y) {
      const uint8_t* row = ids.data() + y * size;
      for (int x = boxes[b].x0; x <= boxes[b].x1; ++x) seen |= 1u << row[x];
    }
    for (size_t a = 0; a < n; ++a) covers[a][b] = a != b && (seen >> (a + 1) & 1);
  }
  std::vector<int> levels(n, 1);
  for (size_t round = 0; round <= n; ++round) {  // a chain has at most n links
    bool changed = false;
    for (size_t a = 0; a < n; ++a)
      for (size_t b = 0; b < n; ++b)
        if (covers[a][b] && levels[a] <= levels[b]) {
          levels[a] = levels[b] + 1;
          changed = true;
        }
    if (!changed) return levels;
  }
  return std::nullopt;
}

/// Variant `filled`: one box per grey value.
inline std::optional<RdeSolution> solve_filled(const float* image, int size) {
  std::array<data::rde::Box, 17> found;
  found.fill({255, 255, 0, 0});
  std::array<bool, 17> seen{};
  std::vector<uint8_t> greys(static_cast<size_t>(size * size));
  for (int y = 0; y < size; ++y) {
    uint8_t* row = greys.data() + y * size;
    for (int x = 0; x < size;) {  // run by run
      const float value = image[y * size + x];
      const size_t grey = static_cast<size_t>(value * 16);
      if (grey > 16 || static_cast<float>(grey) != value * 16) return std::nullopt;
      int end = x;
      while (end < size && image[y * size + end] == value) row[end++] = static_cast<uint8_t>(grey);
      seen[grey] = true;
      data::rde::Box& box = found[grey];
      box.x0 = std::min(box.x0, static_cast<uint8_t>(x));
      box.x1 = std::max(box.x1, static_cast<uint8_t>(end - 1));
      box.y0 = std::min(box.y0, static_cast<uint8_t>(y));
      box.y1 = std::max(box.y1, static_cast<uint8_t>(y));
      x = end;
    }
  }
  RdeSolution solution;
  std::array<uint8_t, 17> id_of{};
  for (size_t grey = 1; grey <= 16; ++grey)
    if (seen[grey]) {
      solution.boxes.push_back(found[grey]);
      id_of[grey] = static_cast<uint8_t>(solution.boxes.size());
    }
  for (uint8_t& grey : greys) grey = id_of[grey];
  solution.ids = std::move(greys);
  const auto levels = levels_from_ids(solution.ids, size, solution.boxes);
  if (!levels) return std::nullopt;
  solution.levels = *levels;
  return solution;
}

/// Variant `outline`, in three steps: corners, boxes from corners, boxes taken off front to back.
class OutlineSolver {
 public:
  OutlineSolver(const float* image, int size) : image_(image), size_(size) {}

  std::optional<RdeSolution> solve() {
    if (!find_boxes() || !peel()) return std::nullopt;
    const auto levels = levels_from_ids(solution_.ids, size_, solution_.boxes);
    if (!levels) return std::nullopt;
    solution_.levels = *levels;
    return solution_;
  }

 private:
  using Box = data::rde::Box;
  bool lit(int x, int y) const { return image_[y * size_ + x] != 0; }

  /// A corner has exactly one lit neighbour above or below and one left or right.
  bool corner(int x, int y) const {
    return lit(x, y) && lit(x, y - 1) != lit(x, y + 1) && lit(x - 1, y) != lit(x + 1, y);
  }

  int root(int node) const {
    while (parent_[static_cast<size_t>(node)] != node) node = parent_[static_cast<size_t>(node)];
    return node;
  }

  /// Every row and every column with corners belongs to one box; a corner ties its row to its
  /// column, so the groups of the union are the boxes.
  bool find_boxes() {
    parent_.resize(static_cast<size_t>(2 * size_));  // rows, then columns
    for (size_t i = 0; i < parent_.size(); ++i) parent_[i] = static_cast<int>(i);
    std::vector<bool> used(parent_.size());
    for (int y = 1; y < size_ - 1; ++y)
      for (int x = 1; x < size_ - 1; ++x)
        if (corner(x, y)) {
          parent_[static_cast<size_t>(root(y))] = root(size_ + x);
          used[static_cast<size_t>(y)] = used[static_cast<size_t>(size_ + x)] = true;
        }
    std::vector<std::vector<int>> rows(parent_.size()), columns(parent_.size());
    for (int i = 0; i < 2 * size_; ++i)
      if (used[static_cast<size_t>(i)]) {
        if (i < size_)
          rows[static_cast<size_t>(root(i))].push_back(i);
        else
          columns[static_cast<size_t>(root(i))].push_back(i - size_);
      }
    for (size_t group = 0; group < rows.size(); ++group) {
      if (rows[group].empty() && columns[group].empty()) continue;
      if (rows[group].size() != 2 || columns[group].size() != 2) return false;
      solution_.boxes.push_back(
          {static_cast<uint8_t>(columns[group][0]), static_cast<uint8_t>(rows[group][0]),
           static_cast<uint8_t>(columns[group][1]), static_cast<uint8_t>(rows[group][1])});
    }
    return solution_.boxes.size() <= data::rde::kMaxRectangles;
  }

  /// True when, of the pixels not yet taken, the box shows all of its border and nothing inside.
  bool in_front(Box box) const {
    for (int y = box.y0; y <= box.y1; ++y)
      for (int x = box.x0; x <= box.x1; ++x) {
        if (solution_.ids[static_cast<size_t>(y * size_ + x)] != 0) continue;
        const bool border = x == box.x0 || x == box.x1 || y == box.y0 || y == box.y1;
        if (border != lit(x, y)) return false;
      }
    return true;
  }

  bool peel() {
    solution_.ids.assign(static_cast<size_t>(size_ * size_), 0);
    std::vector<bool> done(solution_.boxes.size());
    for (size_t left = done.size(); left > 0;) {
      const size_t before = left;
      for (size_t k = 0; k < done.size(); ++k) {
        const Box box = solution_.boxes[k];
        if (done[k] || !in_front(box)) continue;
        for (int y = box.y0; y <= box.y1; ++y)
          for (int x = box.x0; x <= box.x1; ++x) {
            uint8_t& id = solution_.ids[static_cast<size_t>(y * size_ + x)];
            if (id == 0) id = static_cast<uint8_t>(k + 1);
          }
        done[k] = true;
        --left;
      }
      if (left == before) return false;  // stuck
    }
    return true;
  }

  const float* image_;
  int size_;
  std::vector<int> parent_;
  RdeSolution solution_;
};

inline std::optional<RdeSolution> solve_outline(const float* image, int size) {
  return OutlineSolver(image, size).solve();
}

/// Level of each pixel, 0 on the background.
inline std::vector<uint8_t> level_map(const RdeSolution& solution) {
  std::array<uint8_t, data::rde::kMaxRectangles + 1> level_of{};
  for (size_t k = 0; k < solution.levels.size(); ++k)
    level_of[k + 1] = static_cast<uint8_t>(solution.levels[k]);
  std::vector<uint8_t> map = solution.ids;
  for (uint8_t& id : map) id = level_of[id];
  return map;
}

}  // namespace sing::test
