/* Every kernel with a floating-point element type; included once per type, order by dependence. */
#include "vector_math.h"
#include "activation.h"
#include "gemm.h"
#include "linear.h"
#include "loss.h"
#include "optim.h"
#include "update.h"
#include "network.h"
