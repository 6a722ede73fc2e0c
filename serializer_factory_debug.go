//go:build aguidebug

package agloop

import (
	"fmt"

	"github.com/agloop/agloop/codec/event"
)

func serializerForeign(s event.Serializer) {
	panic(fmt.Sprintf("agloop: Put of %T, which no factory lends", s))
}
