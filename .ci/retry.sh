# To be sourced: `retry COMMAND …` runs a command that needs a network up to four times, with growing pauses.
retry() {
  local pause
  for pause in 5 20 60; do
    "$@" && return
    echo "failed: $*; trying again in $pause s" >&2
    sleep "$pause"
  done
  "$@"
}
