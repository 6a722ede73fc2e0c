package agloop

import "sync"

// keyed are things of principals that have a key, by that key. The zero value is ready.
type keyed[T comparable] struct {
	// Any goroutine, under mu.
	mu    sync.Mutex
	byKey map[string]map[T]struct{} // none is empty
}

// add adds v. Nobody has the key "", and its things cost nothing.
func (k *keyed[T]) add(key string, v T) {
	if key == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byKey == nil {
		k.byKey = make(map[string]map[T]struct{})
	}
	if k.byKey[key] == nil {
		k.byKey[key] = make(map[T]struct{}, 1)
	}
	k.byKey[key][v] = struct{}{}
}

// remove undoes add.
func (k *keyed[T]) remove(key string, v T) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if delete(k.byKey[key], v); len(k.byKey[key]) == 0 {
		delete(k.byKey, key)
	}
}

// of is a copy of what one principal has, in no order.
func (k *keyed[T]) of(key string) (list []T) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for v := range k.byKey[key] {
		list = append(list, v)
	}
	return list
}
