// Elementary functions of doubles whose bits are the project's own: a library's differ in the last place between its
// versions and between CPUs. Only sums, products, quotients and exact scaling, in the order written.
// Polynomials and reductions of exp, log, sine and cosine: fdlibm (Sun Microsystems 1993), e_exp.c, e_log.c, k_sin.c, k_cos.c.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "CKernels.h"

static const double ln2_high = 6.93147180369123816490e-01;  // its last 32 bits are zero: small multiples are exact
static const double ln2_low = 1.90821492927058770002e-10;

double portable_exp(double x) {
  if (x != x) return x;
  if (x > 709.782712893384) return INFINITY;
  if (x < -745.2) return 0;
  const double shifted = x * 1.44269504088896338700 + 0x1.8p52;
  const double n = shifted - 0x1.8p52;
  const double high = x - n * ln2_high, low = n * ln2_low;
  const double r = high - low, t = r * r;
  const double c =
      r - t * (1.66666666666666019037e-01 +
               t * (-2.77777777770155933842e-03 +
                    t * (6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
  return ldexp(1 - ((low - r * c / (2 - c)) - high), (int)n);
}

double portable_log(double x) {
  if (x != x || x == INFINITY) return x;
  if (x <= 0) return x == 0 ? -INFINITY : NAN;
  int exponent;
  double m = frexp(x, &exponent);  // 0.5 <= m < 1
  if (m < 0.70710678118654752440) {
    m *= 2;
    exponent -= 1;
  }
  const double k = exponent, f = m - 1, s = f / (2 + f), z = s * s, w = z * z, half = 0.5 * f * f;
  const double even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  const double odd =
      z * (6.666666666666735130e-01 +
           w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  return k * ln2_high - ((half - (s * (half + (odd + even)) + k * ln2_low)) - f);
}

// Kahan's correction: u - 1 is what of x has reached u.
double portable_log1p(double x) {
  const double u = 1 + x;
  if (u == 1) return x;
  return u == INFINITY ? u : portable_log(u) * (x / (u - 1));
}

double portable_cosine_of_turns(double turns) {
  if (!(fabs(turns) < 0x1p52)) return turns == turns && fabs(turns) != INFINITY ? 1 : NAN;
  double a = fabs(turns - nearbyint(turns));  // 0 ... 0.5, exact
  const double sign = a > 0.25 ? -1 : 1;
  if (a > 0.25) a = 0.5 - a;
  const double x = 6.28318530717958647693 * (a > 0.125 ? 0.25 - a : a), z = x * x;
  if (a > 0.125)
    return sign * (x + x * z * (-1.66666666666666324348e-01 +
                                z * (8.33333333332248946124e-03 +
                                     z * (-1.98412698298579493134e-04 +
                                          z * (2.75573137070700676789e-06 +
                                               z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10))))));
  const double r =
      z * (4.16666666666666019037e-02 +
           z * (-1.38888888888741095749e-03 +
                z * (2.48015872894767294178e-05 +
                     z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
  return sign * (1 - (0.5 * z - z * r));
}

double portable_pow(double base, double exponent) {
  if (exponent == 0 || base == 1) return 1;
  return portable_exp(exponent * portable_log(base));
}
