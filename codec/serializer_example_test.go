package codec_test

import (
	"fmt"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec"
)

func ExampleSerializerFactory() {
	factory, err := codec.NewSerializerFactory(codec.OptimizedJSON)
	if err != nil {
		fmt.Println(err)
		return
	}
	s := factory.Get() // for one stream
	defer factory.Put(s)

	data, err := s.AppendEvent(nil, &agui.StepStarted{StepName: "plan"})
	fmt.Println(s.Type(), string(data), err)

	fmt.Println(factory.SetType(codec.Protobuf))
	// Output:
	// OptimizedJSON {"type":"STEP_STARTED","stepName":"plan"} <nil>
	// agloop: serializer unavailable: Protobuf
}
