#!/usr/bin/env bash
# available.sh MODEL [PORT]: exits 0 if TensorFlow Serving says that a version is AVAILABLE.
# The status of HTTP alone does not say it: a model that is gone answers 200 too, with "END".
# The image of TensorFlow Serving has bash and grep, and no curl.
set -euo pipefail
model=$1
port=${2:-8501}
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /v1/models/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$model" >&3
grep -q '"state": *"AVAILABLE"' <&3
