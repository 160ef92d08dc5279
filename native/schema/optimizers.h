// The schema of fused optimizer updates: one entry each. Pure data; includes nothing. As with
// ops.h, a reader defines TG_OPTIMIZER and includes this file.
//
// The body runs for every element with p the parameter (written), g the gradient (a copy: the body
// may reuse the name), s0 … s11 the states (written), and the numbers that TypeScript computes once
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
TG_OPTIMIZER(sgdVelocity, 1, (rate, decay, momentum, damping, nesterov), {
  // v = momentum v + rate damping g, w = w - v: the rate is part of the velocity, as in the first papers.
  g = rate * fma(decay, p, g);
  s0 = fma(momentum, s0, damping * g);
  p = p - select(nesterov > 0, fma(momentum, s0, g), s0);
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
TG_OPTIMIZER(rmspropMomentum, 2, (rate, decay, keep, take, inside, eps, momentum), {
  // s1 is the velocity.
  g = fma(decay, p, g);
  s0 = fma(keep, s0, take * (g * g));
  s1 = fma(momentum, s1, g / (sqrt(s0 + inside) + eps));
  p = fma(-rate, s1, p);
}, "Tieleman & Hinton 2012; Graves 2013 for the momentum.")
TG_OPTIMIZER(rmspropCenteredMomentum, 3, (rate, decay, keep, take, inside, eps, momentum), {
  g = fma(decay, p, g);
  s0 = fma(keep, s0, take * (g * g));
  s1 = fma(keep, s1, take * g);
  s2 = fma(momentum, s2, g / (sqrt(select(s0 < s1 * s1, 0, s0 - s1 * s1) + inside) + eps));
  p = fma(-rate, s2, p);
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
TG_OPTIMIZER(adasecant, 12, (rate, scale, keep, take, limit, first, eps), {
  // Averages of g (s0), g² (s1), the step d (s2), d² (s3), the change a of the gradient (s4), a² (s5), gamma's
  // numerator² (s6) and denominator² (s7), and a d (s8); memory (s9); the corrected (s10) and the plain (s11)
  // gradient of the step before. scale is 1 / the norm of the whole gradient.
  g = scale * g;
  const V<T> w = 1 / s9;
  const V<T> w1 = 1 - w;
  const V<T> numerator = (s10 - g) * (s10 - s0);
  const V<T> denominator = (s10 - s0) * (g - s0);
  s0 = fma(keep, s0, take * g);
  s1 = fma(keep, s1, take * (g * g));
  s6 = fma(w1, s6, w * (numerator * numerator));
  s7 = fma(w1, s7, w * (denominator * denominator));
  const V<T> gamma = minimum(sqrt(s6) / (sqrt(s7) + eps), limit);
  const V<T> corrected = fma(gamma, s0, g) / (1 + gamma);
  const V<T> a = g - s11;
  s4 = fma(w1, s4, w * a);
  s5 = fma(w1, s5, w * (a * a));
  const V<T> d2 = select(first > 0, g * g, s3);
  const V<T> d1 = select(first > 0, g, s2);
  const V<T> d = (s8 / (s5 + eps) - sqrt(d2 + eps) / sqrt(s5 + eps)) * corrected;
  s2 = fma(w1, s2, w * d);
  s3 = fma(w1, s3, w * (d * d));
  s8 = fma(w1, s8, w * (d * a));
  const V<T> off_g = g - s0;
  const V<T> off_a = a - s4;
  const V<T> memory = maximum(fma(-(d1 * d1 / (d2 + eps)), s9, s9) + 1, V<T>(1.5));
  const V<T> kept = select(off_g * off_g > 4 * maximum(s1 - s0 * s0, V<T>(0)), 2.2, memory);
  s9 = select(off_a * off_a > 4 * maximum(s5 - s4 * s4, V<T>(0)), 2.2, kept);
  s10 = corrected;
  s11 = g;
  p = fma(rate, d, p);
}, "Gulcehre, Moczulski & Bengio 2014.")
TG_OPTIMIZER(vsgd, 5, (rate, first, slow, eps), {
  // Averages of g (s0), g² (s1) and the curvature (s2); memory (s3); the gradient (s4) at p + s0, or at p + g when
  // first is 1.
  const V<T> shift = abs(select(first > 0, g, s0));
  const V<T> change = abs(s4 - g);
  const V<T> w = select(first > 0, 1, 1 / s3);
  const V<T> w1 = 1 - w;
  const V<T> over = select(first > 0, slow, 1);
  const V<T> h = select(shift > eps, change / shift, s2);
  s0 = fma(w1, s0, w * g);
  s1 = fma(w1, s1, w * over * (g * g));
  s2 = fma(w1, s2, w * over * h);
  const V<T> share = select(s1 > 0, minimum(s0 * s0 / s1, V<T>(1)), 0);
  s3 = select(first > 0, 1 + slow, fma(-share, s3, s3) + 1);
  p = p - rate * (share / (s2 + eps)) * g;
}, "Schaul, Zhang & LeCun 2013; the curvature by finite differences as in Schaul & LeCun 2013.")
// clang-format on

#undef TG_OPTIMIZER
