package event

// schemaKind is what a member's value must be.
type schemaKind uint8

const (
	schemaString  schemaKind = iota
	schemaInteger            // at most 2^53-1 either way
	schemaCount              // the same, and not negative
	schemaBool
	schemaOpen    // an object, open by key
	schemaData    // any value but null
	schemaAny     // any value
	schemaSet     // a string of a closed set
	schemaFixed   // the one string in set
	schemaPointer // a JSON Pointer
	schemaNested  // the object in object
	schemaTagged  // one of the objects in union
	schemaList    // an array of item
	schemaContent // a string, or an array of item
)

// schemaField is a member of an object, or what the elements of a list are.
type schemaField struct {
	name     string
	kind     schemaKind
	required bool

	// With retiredNull, null is a retired form of absent and is noted. With stateNull it is
	// accepted as absent without a note.
	retiredNull bool
	stateNull   bool

	set    []string
	object *schemaObject
	union  *schemaUnion
	item   *schemaField
	min    int
	patch  bool // at most Limits.PatchOps elements
}

// schemaObject is an object of the protocol. Unknown members are kept in an open one and stripped
// from a closed one.
type schemaObject struct {
	open     bool
	fields   []schemaField
	required uint32 // bit i: fields[i] is required
}

// schemaUnion is a set of objects that differ by the string in the member tag.
type schemaUnion struct {
	tag      string
	variants map[string]*schemaObject
	// binary is true for the parts of messages, where the retired part "binary" is translated.
	binary bool
}

func schemaOf(fields ...schemaField) *schemaObject {
	o := &schemaObject{fields: fields}
	for i := range fields {
		if fields[i].required {
			o.required |= 1 << i
		}
	}
	return o
}

func (o *schemaObject) find(s *jsonScan, name scanText) int {
	if name.escaped {
		plain := s.string(name)
		for i := range o.fields {
			if o.fields[i].name == plain {
				return i
			}
		}
		return -1
	}
	plain := s.data[name.start:name.end]
	for i := range o.fields {
		if o.fields[i].name == string(plain) {
			return i
		}
	}
	return -1
}

// The builders below name a member, then what it is. Members are optional unless wrapped in
// mustField.

func mustField(f schemaField) schemaField {
	f.required = true
	return f
}

func retiredField(f schemaField) schemaField {
	f.retiredNull = true
	return f
}

func plainField(name string, kind schemaKind) schemaField {
	return schemaField{name: name, kind: kind}
}

func setField(name string, set ...string) schemaField {
	return schemaField{name: name, kind: schemaSet, set: set}
}

func fixedField(name, value string) schemaField {
	return schemaField{name: name, kind: schemaFixed, set: []string{value}}
}

func objectField(name string, o *schemaObject) schemaField {
	return schemaField{name: name, kind: schemaNested, object: o}
}

func unionField(name string, u *schemaUnion) schemaField {
	return schemaField{name: name, kind: schemaTagged, union: u}
}

func listField(name string, item schemaField) schemaField {
	return schemaField{name: name, kind: schemaList, item: &item}
}

func contentField(parts *schemaUnion) schemaField {
	item := unionField("", parts)
	return schemaField{name: "content", kind: schemaContent, item: &item}
}
