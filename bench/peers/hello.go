// Go's HTTP server: PORT and WORKERS, which is how many threads run Go code.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"runtime"
	"strconv"
)

func main() {
	threads, err := strconv.Atoi(os.Getenv("WORKERS"))
	if err != nil {
		log.Fatal(err)
	}
	runtime.GOMAXPROCS(threads)
	hello := []byte(fmt.Sprintf("hello %d\n", os.Getpid()))
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) { answer.Write(hello) })
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
