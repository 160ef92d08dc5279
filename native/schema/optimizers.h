// The schema of fused optimizer updates: one entry each. Pure data; includes nothing. As with
// ops.h, a reader defines TG_OPTIMIZER and includes this file.
//
// The body runs for every element with p the parameter (written), g the gradient (a copy: the body
// may reuse the name), s0 … s3 the states (written), and the numbers that TypeScript computes once
// per step, by name, rounded to the parameter's dtype. Scalars are broadcast. Functions: fma, sqrt,
// abs, maximum, minimum, select. `decay` is L2 regularisation (added to the gradient) everywhere.
//
//   TG_OPTIMIZER(name, number of states, (names of the numbers), { body }, source)

#ifndef TG_OPTIMIZER
#define TG_OPTIMIZER(name, states, numbers, body, source)
#endif

// clang-format off
TG_OPTIMIZER(sgd, 0, (rate, decay), {
  g = fma(decay, p, g);
  p = fma(-rate, g, p);
}, "Robbins & Monro 1951.")
TG_OPTIMIZER(sgdMomentum, 1, (rate, decay, momentum, damping, nesterov), {
  // v = momentum v + damping g, w = w - rate v: PyTorch's form; damping is 1 - dampening, 1 at the first step.
  g = fma(decay, p, g);
  s0 = fma(momentum, s0, damping * g);
  p = fma(-rate, select(nesterov > 0, fma(momentum, s0, g), s0), p);
}, "Polyak 1964; Sutskever et al. 2013 for Nesterov's form (nesterov is 1).")
TG_OPTIMIZER(adagrad, 1, (rate, decay, eps), {
  // rate may hold a decreasing 1 / (1 + (t - 1) c); s0 starts at the initial accumulator.
  g = fma(decay, p, g);
  s0 = fma(g, g, s0);
  p = p - rate * g / (sqrt(s0) + eps);
}, "Duchi et al. 2011.")
TG_OPTIMIZER(rmsprop, 1, (rate, decay, keep, take, inside, eps), {
  // eps is added outside the root (PyTorch's form), inside within it (Goodfellow's): one of them is 0.
  g = fma(decay, p, g);
  s0 = fma(keep, s0, take * (g * g));
  p = p - rate * g / (sqrt(s0 + inside) + eps);
}, "Tieleman & Hinton 2012.")
TG_OPTIMIZER(rmspropCentered, 2, (rate, decay, keep, take, inside, eps), {
  // s0 - s1² is a variance: rounding must not make it negative.
  g = fma(decay, p, g);
  s0 = fma(keep, s0, take * (g * g));
  s1 = fma(keep, s1, take * g);
  p = p - rate * g / (sqrt(select(s0 < s1 * s1, 0, s0 - s1 * s1) + inside) + eps);
}, "Graves 2013.")
TG_OPTIMIZER(adadelta, 2, (rate, decay, keep, take, eps), {
  g = fma(decay, p, g);
  s0 = fma(keep, s0, take * (g * g));
  g = sqrt(s1 + eps) / sqrt(s0 + eps) * g;
  s1 = fma(keep, s1, take * (g * g));
  p = fma(-rate, g, p);
}, "Zeiler 2012.")
TG_OPTIMIZER(adam, 2, (rate, decay, shrink, keep1, keep2, take1, take2, correction2, eps), {
  // rate already holds 1 / (1 - beta1^t); correction2 is 1 / sqrt(1 - beta2^t); shrink is AdamW's 1 - rate decay.
  p = shrink * p;
  g = fma(decay, p, g);
  s0 = fma(keep1, s0, take1 * g);
  s1 = fma(keep2, s1, take2 * (g * g));
  p = p - rate * s0 / fma(sqrt(s1), correction2, eps);
}, "Kingma & Ba 2015; Loshchilov & Hutter 2019 for the decoupled decay.")
TG_OPTIMIZER(amsgrad, 3, (rate, decay, shrink, keep1, keep2, take1, take2, correction2, eps), {
  p = shrink * p;
  g = fma(decay, p, g);
  s0 = fma(keep1, s0, take1 * g);
  s1 = fma(keep2, s1, take2 * (g * g));
  s2 = maximum(s2, s1);
  p = p - rate * s0 / fma(sqrt(s2), correction2, eps);
}, "Reddi et al. 2018.")
TG_OPTIMIZER(adamax, 2, (rate, decay, keep1, keep2, take1, eps), {
  // rate already holds 1 / (1 - beta1^t).
  g = fma(decay, p, g);
  s0 = fma(keep1, s0, take1 * g);
  s1 = maximum(keep2 * s1, abs(g) + eps);
  p = p - rate * s0 / s1;
}, "Kingma & Ba 2015.")
TG_OPTIMIZER(nadam, 2, (rate, look, decay, keep1, keep2, take1, take2, correction2, eps), {
  // With mu the momentum of a step and M their product up to t (Dozat): look is rate (1 - mu_t) / (1 - M_t), for
  // the gradient; rate is rate mu_{t+1} / (1 - M_{t+1}), for the average. (PyTorch 1.13 divides by
  // 1 - M_t mu_t mu_{t+1} there.)
  g = fma(decay, p, g);
  s0 = fma(keep1, s0, take1 * g);
  s1 = fma(keep2, s1, take2 * (g * g));
  p = p - fma(rate, s0, look * g) / fma(sqrt(s1), correction2, eps);
}, "Dozat 2016.")
TG_OPTIMIZER(radam, 2, (rate, decay, keep1, keep2, take1, take2, rectified, eps), {
  // While the variance is not tractable rectified is 0 and rate is rate / (1 - beta1^t); later rectified is 1
  // and rate also holds the rectification r_t and sqrt(1 - beta2^t).
  g = fma(decay, p, g);
  s0 = fma(keep1, s0, take1 * g);
  s1 = fma(keep2, s1, take2 * (g * g));
  p = p - rate * s0 / select(rectified > 0, sqrt(s1) + eps, 1);
}, "Liu et al. 2020.")
// clang-format on

#undef TG_OPTIMIZER
