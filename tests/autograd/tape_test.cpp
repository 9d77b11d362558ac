#include "sing/autograd/tape.h"

#include <gtest/gtest.h>

#include "sing/autograd/autocast.h"
#include "sing/core/error.h"

namespace sing {
namespace {

using autograd::GradList;
using autograd::Needs;
using autograd::Saved;

Tensor doubled(const Tensor& x) {
  Tensor y = x.clone();
  autograd::accumulate(y, x);
  return autograd::record("doubled", {x}, y, [](const Tensor& grad, const Needs&) {
    Tensor g = grad.clone();
    autograd::accumulate(g, grad);
    return GradList{g};
  });
}

Tensor sum_of(const Tensor& a, const Tensor& b) {
  Tensor y = a.clone();
  autograd::accumulate(y, b);
  return autograd::record("sum_of", {a, b}, y, [](const Tensor& grad, const Needs&) {
    return GradList{grad, grad};
  });
}

Tensor squared(const Tensor& x) {
  Tensor y = Tensor::scalar(x.item() * x.item(), DType::f64);
  return autograd::record("squared", {x}, y, [x = Saved(x)](const Tensor& grad, const Needs&) {
    return GradList{Tensor::scalar(2 * x->item() * grad.item(), DType::f64)};
  });
}

Tensor leaf(double value) {
  Tensor x = Tensor::scalar(value, DType::f64);
  x.set_requires_grad();
  return x;
}

TEST(Tape, SharedUseAddsUp) {
  Tensor x = leaf(3);
  Tensor a = doubled(x);
  sum_of(sum_of(a, a), x).backward();  // 2*2 + 1
  EXPECT_EQ(x.grad().item(), 5);
}

TEST(Tape, GradientsAddAcrossPasses) {
  Tensor x = leaf(3);
  squared(x).backward();
  squared(x).backward();
  EXPECT_EQ(x.grad().item(), 12);
}

TEST(Tape, PreallocatedBufferIsUsedInPlace) {
  Tensor x = leaf(3);
  Tensor buffer = Tensor::zeros({}, {.dtype = DType::f32});
  x.set_grad(buffer);
  squared(x).backward();
  EXPECT_TRUE(x.grad().same_as(buffer));
  EXPECT_EQ(buffer.item(), 6);
}

TEST(Tape, InPlaceWriteIsFound) {
  Tensor x = leaf(3);
  const Tensor y = squared(x);
  x.fill(4);
  try {
    y.backward();
    FAIL();
  } catch (const InternalError& e) {
    EXPECT_NE(std::string(e.what()).find("squared: a saved tensor was modified"),
              std::string::npos);
  }
}

TEST(Tape, SecondWalkIsRefused) {
  Tensor x = leaf(3);
  const Tensor y = squared(x);
  y.backward();
  EXPECT_THROW(y.backward(), InternalError);
}

TEST(Tape, NoGradRecordsNothing) {
  Tensor x = leaf(3);
  const autograd::NoGradGuard guard;
  EXPECT_FALSE(squared(x).requires_grad());
}

TEST(Tape, DeepGraphsNeedNoStack) {
  Tensor x = leaf(0);
  {
    Tensor y = x;
    for (int i = 0; i < 200000; ++i) y = sum_of(y, x);  // dropped without a walk
  }
  Tensor y = x;
  for (int i = 0; i < 200000; ++i) y = sum_of(y, x);
  y.backward();
  EXPECT_EQ(x.grad().item(), 200001);
}

/// The gradient of an identity, added by itself to what x has received.
Tensor gathers(const Tensor& x, bool* had_received) {
  return autograd::record("gathers", {x}, x.clone(),
                          [had_received](const Tensor& grad, const Needs& needs) {
                            Tensor g = grad.clone();
                            const Tensor received = needs.take_received(0);
                            *had_received = received.defined();
                            if (*had_received) autograd::accumulate(g, received);
                            return GradList{g};
                          });
}

TEST(Tape, ReceivedGradientsCanBeTaken) {
  Tensor x = leaf(3);
  const Tensor a = doubled(x);
  bool had = false;
  const Tensor b = gathers(a, &had);
  sum_of(sum_of(a, b), a).backward();  // a has received 1 + 1 when b's turn comes; one run of a
  EXPECT_TRUE(had);
  EXPECT_EQ(x.grad().item(), 6);
}

TEST(Tape, WhatWasTakenLeavesRoomForMore) {
  Tensor x = leaf(3);
  const Tensor a = doubled(x);
  bool had = false, had_too = false;
  const Tensor b = gathers(a, &had), c = gathers(a, &had_too);
  sum_of(b, c).backward();
  EXPECT_TRUE(had);       // from c, which is newer
  EXPECT_FALSE(had_too);  // nothing was there yet
  EXPECT_EQ(x.grad().item(), 4);
}

TEST(Tape, GradientsOfLeavesAreNotTaken) {
  Tensor x = leaf(3);
  x.set_grad(Tensor::scalar(5, DType::f64));
  bool had = true;
  gathers(x, &had).backward();
  EXPECT_FALSE(had);
  EXPECT_EQ(x.grad().item(), 6);
}

TEST(Autocast, LowersAndComesBack) {
  Tensor x = Tensor::full({2}, 1.5);
  x.set_requires_grad();
  {
    const autocast::Guard guard(DType::bf16);
    const Tensor y = autocast::input(x, autocast::Policy::lower);
    EXPECT_EQ(y.dtype(), DType::bf16);
    EXPECT_EQ(autocast::input(y, autocast::Policy::widen).dtype(), DType::f32);
    y.backward(Tensor::full({2}, 2.0, {.dtype = DType::bf16}));
  }
  EXPECT_EQ(x.grad().dtype(), DType::f32);
  EXPECT_EQ(x.grad().to_vector(), (std::vector<double>{2, 2}));
}

}  // namespace
}  // namespace sing
