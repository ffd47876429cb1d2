(module (import "shrike" "float" (func $float (param i32 f64) (result f64)))
 (func $g (param f64) (result i32) (select (i32.trunc_sat_f64_s (local.get 0)) (i32.const 1) (i64.eqz (i64.const -9))))
 (func (export "match") (result i32) (drop (f32.const 1.5)) (call $g (f64.sqrt (f64.const 2)))))
