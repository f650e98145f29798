//go:build js

package host

import (
	"errors"
	"syscall/js"

	"github.com/countersign/countersign/internal/fault"
)

// Operation does one thing that the script asks for. What it returns is turned
// into a JavaScript value by js.ValueOf; a []byte becomes a Uint8Array.
type Operation func(args js.Value) (any, error)

// Serve makes the operations callable as members of a global object and keeps the
// program alive. Each call answers with a promise; a refusal rejects it with an
// object of kind, code and message.
func Serve(name string, operations map[string]Operation) {
	object := js.Global().Get("Object").New()
	for member, op := range operations {
		object.Set(member, js.FuncOf(func(_ js.Value, args []js.Value) any {
			var arg js.Value
			if len(args) > 0 {
				arg = args[0]
			}
			return promise(func() (any, error) { return op(arg) })
		}))
	}
	js.Global().Set(name, object)
	select {}
}

// promise runs f beside the script: waiting for another promise in it would stop
// both otherwise.
func promise(f func() (any, error)) js.Value {
	var start js.Func
	start = js.FuncOf(func(_ js.Value, settle []js.Value) any {
		go func() {
			defer start.Release()
			v, err := f()
			if err != nil {
				settle[1].Invoke(refusal(err))
				return
			}
			settle[0].Invoke(Value(v))
		}()
		return nil
	})
	return js.Global().Get("Promise").New(start)
}

// refusal is what the script learns of an error.
func refusal(err error) js.Value {
	f := fault.Of(err)
	message := f.Detail
	if thrown, ok := errors.AsType[js.Error](err); ok && f.Kind == fault.Internal {
		return thrown.Value // the script's own error comes back to it as it was
	}
	if f.Kind == fault.Internal {
		message = err.Error() // it stays in this browser
	}
	return js.ValueOf(map[string]any{"kind": string(f.Kind), "code": f.Code, "message": message})
}

// Await waits for a promise.
func Await(p js.Value) (js.Value, error) {
	type outcome struct {
		value js.Value
		err   error
	}
	done := make(chan outcome, 1)
	settled := func(failed bool) js.Func {
		return js.FuncOf(func(_ js.Value, args []js.Value) any {
			var o outcome
			switch {
			case len(args) == 0:
			case failed:
				o.err = js.Error{Value: args[0]}
			default:
				o.value = args[0]
			}
			done <- o
			return nil
		})
	}
	yes, no := settled(false), settled(true)
	defer yes.Release()
	defer no.Release()
	p.Call("then", yes, no)
	o := <-done
	return o.value, o.err
}
