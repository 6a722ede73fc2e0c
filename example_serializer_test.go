package agloop_test

import (
	"fmt"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
)

func ExampleSerializerFactory() {
	factory, err := agloop.NewSerializerFactory(agloop.OptimizedJSON)
	if err != nil {
		fmt.Println(err)
		return
	}
	s := factory.Get() // for one stream
	defer factory.Put(s)

	data, err := s.AppendEvent(nil, &agui.StepStarted{StepName: "plan"})
	fmt.Println(s.Type(), string(data), err)

	fmt.Println(factory.SetType(agloop.Protobuf))
	// Output:
	// OptimizedJSON {"type":"STEP_STARTED","stepName":"plan"} <nil>
	// agloop: serializer unavailable: Protobuf
}
