//go:build !aguidebug

package agloop

import "github.com/agloop/agloop/codec/event"

func serializerForeign(event.Serializer) {}
