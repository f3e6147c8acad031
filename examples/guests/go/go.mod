module example.com/guest

go 1.27.1

require (
	example.com/bindings v0.0.0
	go.bytecodealliance.org/pkg v0.4.0
)

// Both come with wit-bindgen: it writes the first, and its source has the second.
replace (
	example.com/bindings => ./generated/bindings
	go.bytecodealliance.org/pkg => ../tools/crates/wit-bindgen-go/src/pkg
)
