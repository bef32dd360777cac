"""Names for containers that were given none: `quiet_heron`, `amber_cello`."""

from __future__ import annotations

import os
from collections.abc import Callable

from kernelbox.errors import NameInUse

__all__ = ["ADJECTIVES", "NOUNS", "new_name"]

_PLAIN_TRIES = 5
_TRIES = 20

_ADJECTIVES = """
agile airy amber apt artful balmy blithe bold brave breezy bright brisk bubbly calm candid careful cheerful chipper
clear clever cosy crisp curious dapper daring deft eager earnest easy elated epic fair fearless fleet fluffy fond
frank fresh friendly gentle glad gleaming golden graceful grand happy hardy hearty honest humble jaunty jolly jovial
keen kind lively loyal lucid lucky mellow merry mighty mild modest neat nimble noble patient peaceful placid playful
polite proud quick quiet radiant rapid ready rosy serene shiny silent silver smooth snug spry steady stellar sunny
swift tidy tranquil trusty upbeat valiant vivid warm wise witty zesty
"""
_NOUNS = """
albatross alpaca antelope armadillo axolotl badger beaver beetle bison bobcat bumblebee butterfly camel capybara
caribou chameleon cheetah chickadee chinchilla chipmunk cicada condor cormorant cricket cuckoo curlew dolphin dormouse
dragonfly echidna egret eider elk ermine falcon ferret finch firefly flamingo gannet gazelle gecko gibbon giraffe
goldfinch grebe hamster hare hedgehog heron hoopoe hummingbird ibex ibis iguana impala jackdaw jellyfish kestrel
kingfisher kiwi koala ladybird lapwing lemming lemur lizard llama lobster lynx magpie manatee marmot meerkat moose
narwhal newt nightingale nuthatch octopus okapi oriole osprey otter owl panda pangolin parrot peacock pelican penguin
pika platypus plover porcupine porpoise puffin quail quokka raccoon raven reindeer robin salamander sandpiper seahorse
seal skylark sloth sparrow squirrel starling stoat stork swallow tapir tern toucan turtle vole wallaby walrus warbler
weasel whale wombat woodpecker wren yak zebra acacia alder anemone aspen aster azalea bamboo baobab bluebell bracken
buttercup camellia cedar clover cornflower crocus cypress daffodil dahlia dandelion edelweiss elder elm fern foxglove
freesia gentian ginkgo hawthorn hazel heather hibiscus hornbeam iris ivy jasmine juniper larch lavender lichen lilac
linden lotus lupin magnolia mahogany maple marigold mimosa mint moss myrtle nettle oleander orchid peony pine poplar
poppy primrose rosemary rowan sage saffron sequoia snowdrop sorrel spruce sunflower thistle thyme tulip verbena willow
wisteria yarrow agate amethyst basalt beryl chalk dolomite feldspar flint garnet gneiss granite gypsum jade jasper
limestone malachite marble obsidian onyx opal peridot pumice pyrite quartz sandstone sapphire slate topaz tourmaline
turquoise zircon accordion bagpipe balalaika banjo bassoon bongo bugle celesta cello clarinet cymbal dulcimer fiddle
flute glockenspiel gong guitar harmonica harp harpsichord kalimba lute lyre mandolin maraca marimba oboe ocarina organ
piano piccolo recorder sitar spinet tambourine theremin timpani triangle trombone trumpet tuba ukulele vibraphone
viola violin xylophone zither
"""
ADJECTIVES = tuple(_ADJECTIVES.split())
NOUNS = tuple(_NOUNS.split())


def new_name(taken: Callable[[str], bool]) -> str:
    """An adjective and a noun, at random; with a number behind it once several were `taken`.

    Another process may take it before the caller does: then ask again. Raises NameInUse where all that were tried are
    taken."""
    name = ""
    for attempt in range(_TRIES):
        name = _random_words()
        if attempt >= _PLAIN_TRIES:
            name += str(_random_below(10 ** (attempt - _PLAIN_TRIES + 1)))
        if not taken(name):
            return name
    raise NameInUse(f"no name is free: {_TRIES} were tried, the last one {name}", hint="choose a name yourself")


def _random_words() -> str:
    first, second = divmod(_random_below(len(ADJECTIVES) * len(NOUNS)), len(NOUNS))
    return f"{ADJECTIVES[first]}_{NOUNS[second]}"


def _random_below(end: int) -> int:
    # of the kernel, because two processes forked from one would else draw the same
    return int.from_bytes(os.urandom(16), "little") % end
