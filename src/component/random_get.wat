;; Some of the cryptography of TLS asks for randomness as WASI 0.1 programs do. This passes the question on to the module
;; itself, which asks wasi:random: see src/component/abi.rs. The usual adapter would import much more.
(module
  (import "__main_module__" "mqtt_wasi_random_get" (func $fill (param i32 i32) (result i32)))
  (export "random_get" (func $fill)))
