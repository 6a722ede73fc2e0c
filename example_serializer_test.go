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

	fmt.Println(factory.SetType(agloop.Protobuf)) // for streams to come
	binary := factory.Get()
	defer factory.Put(binary)
	data, err = binary.AppendEvent(nil, &agui.StepStarted{StepName: "plan"})
	fmt.Printf("%v %x %v\n", binary.Type(), data, err)
	// Output:
	// OptimizedJSON {"type":"STEP_STARTED","stepName":"plan"} <nil>
	// <nil>
	// Protobuf 7a0a0a02080e1204706c616e <nil>
}
