package event

import (
	"cmp"
	"math"

	"github.com/agloop/agloop/agui"
)

// Limits bound what one event or input may demand of who reads it. They hold in both directions:
// what a reader with the same limits refuses is not written either. The zero value of each field is
// the default given beside it. The methods may be called from any goroutine.
type Limits struct {
	// PatchOps is how many operations one JSON Patch may have. 0 is 1,024.
	PatchOps int
	// Depth is how deep objects and arrays may nest. 0 is 64.
	Depth int
	// ID is how long the threadId and runId of an input may be, in bytes. 0 is 128. Only CheckIDs
	// and CheckInputIDs ask for it.
	ID int
}

// WithDefaults returns l with every zero replaced by its default.
func (l Limits) WithDefaults() Limits {
	return Limits{PatchOps: l.patchOps(), Depth: l.depth(), ID: l.id()}
}

func (l Limits) patchOps() int { return cmp.Or(l.PatchOps, 1024) }
func (l Limits) depth() int    { return cmp.Or(l.Depth, 64) }
func (l Limits) id() int       { return cmp.Or(l.ID, 128) }

// noDepth is the depth for data that was checked before.
const noDepth = math.MaxInt

// AppendEvent is [Append] within l.
func (l Limits) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	return appendEvent(dst, ev, l)
}

// AppendRunAgentInput is the function of that name within l.
func (l Limits) AppendRunAgentInput(dst []byte, in *agui.RunAgentInput) ([]byte, error) {
	return appendInput(dst, in, l)
}

// DecodeRunAgentInput is the function of that name within l.
func (l Limits) DecodeRunAgentInput(data []byte) (*agui.RunAgentInput, []Note, error) {
	return decodeInput(data, l)
}

// NewSerializer is the function of that name within l.
func (l Limits) NewSerializer(t SerializerType) (Serializer, error) { return newSerializer(t, l) }
