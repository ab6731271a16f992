"""What is traced as it is written.

AutoGraph rewrites each function of a data set's graph, so that its `if` and `for` may depend on
tensors. Here none does, and rewriting them takes a second or two at each start.
"""

import tensorflow as tf

# The graphs that a function with this decorator builds, and those inside them.
as_written = tf.autograph.experimental.do_not_convert
