"""A user's program for TensorFlow's gs://: files, a checkpoint, records, a saved model and summaries, unedited."""

import json
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

top = f"gs://{sys.argv[1]}/out/model"
told = {"version": tf.__version__}
with tf.io.gfile.GFile(f"{top}/a.txt", "w") as file:
    file.write("hello\n" * 10)
told["stat"] = [tf.io.gfile.exists(f"{top}/a.txt"), tf.io.gfile.stat(f"{top}/a.txt").length]
told["read"] = tf.io.gfile.GFile(f"{top}/a.txt").read()[:5]
tf.io.gfile.copy(f"{top}/a.txt", f"{top}/b.txt")
tf.io.gfile.rename(f"{top}/b.txt", f"{top}/c.txt")
told["glob"] = [each.rpartition("/")[2] for each in tf.io.gfile.glob(f"{top}/*")]
tf.io.gfile.remove(f"{top}/c.txt")
try:
    tf.io.gfile.GFile(f"{top}/nothing").read()
except tf.errors.NotFoundError:
    told["missing"] = True
with tf.io.gfile.GFile(f"{top}/large", "wb") as file:
    file.write(b"x" * 20_000_000)
told["large"] = len(tf.io.gfile.GFile(f"{top}/large", "rb").read())

variable = tf.Variable(3.0)
path = tf.train.Checkpoint(v=variable).save(f"{top}/ck/x")
variable.assign(0.0)
tf.train.Checkpoint(v=variable).restore(path)
told["restored"] = float(variable)
with tf.io.TFRecordWriter(f"{top}/r.tfrecord") as writer:
    writer.write(b"abc")
told["records"] = [each.decode() for each in tf.data.TFRecordDataset(f"{top}/r.tfrecord").as_numpy_iterator()]


class Double(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def __call__(self, x):
        return x * 2.0


tf.saved_model.save(Double(), f"{top}/saved")
told["model"] = float(tf.saved_model.load(f"{top}/saved")(tf.constant(2.0)))
with tf.summary.create_file_writer(f"{top}/logs").as_default():
    tf.summary.write("loss", 1.0, step=1)
told["summaries"] = len(tf.io.gfile.listdir(f"{top}/logs"))
child = "import os; print('HTTPS_PROXY' in os.environ)"
told["proxied child"] = subprocess.check_output([sys.executable, "-c", child], text=True).strip()
print(json.dumps(told))
