package mqtt

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Go's collector may begin whenever memory is asked for, also while the caller of this component writes into it. It
// reads the clock then, which the component may not do at that moment, and the program ends with a trap. So it is off,
// and works between calls.
func init() { debug.SetGCPercent(-1) }

const (
	// How many calls there are between two looks at the memory.
	callsPerLook = 32
	// How much garbage may pile up.
	mostGarbage = 16 << 20
)

var (
	calls  int
	live   uint64
	sample = []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
)

func heap() uint64 {
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// Collects garbage, if there is much.
func collect() {
	if calls++; calls%callsPerLook == 0 && heap() > live+mostGarbage {
		runtime.GC()
		live = heap()
	}
}
