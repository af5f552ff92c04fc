"""Words of which challenges are made: short, common, and each unlike all the others in sound.

Between the phonemes of any two lie three edits at least, so that no word is taken for another.
"""

WORDS: tuple[str, ...] = tuple(
    """
    acorn album anchor animal apron armchair atlas autumn bagpipe ballet bamboo banjo bathtub
    bedtime beehive birthday biscuit blanket blossom bonfire bracelet breakfast buffalo butter
    cabbage cactus camera canyon carpet cathedral ceiling chicken chimney circus clarinet clover
    coconut coffee compass copper cricket crystal cucumber cupboard curtain daisy desert diamond
    dolphin dragon driftwood earring elbow elephant engine evening falcon firewood flamingo
    flower football forest freckle furnace galaxy garlic giraffe glacier goblet golden
    grandfather grapefruit gravel guitar hammock harbour hazelnut hedgehog holiday honey horizon
    iceberg igloo island ivory jacket jasmine jelly jigsaw juniper kangaroo kettle kingdom
    lagoon lantern lavender lemon library lobster lullaby magnet mailbox mango marble melody
    monkey moonlight mountain mushroom music napkin necklace needle notebook nutmeg ocean
    octopus olive onion orange orchard ostrich oyster palace pancake panther parade parsley
    peacock pelican pencil penguin piano picnic pigeon pillow pirate popcorn prairie pumpkin
    puppet puzzle pyjamas quarter quilt raccoon radish railway rainbow raven river robin
    sandwich satchel scarecrow scissors seagull shadow shepherd skeleton snowflake soldier
    sparrow spider spinach sponge squirrel stadium statue sunset swimmer table teapot temple
    theatre thistle thunder tiger timber toboggan tomato tractor treasure trumpet tulip turkey
    umbrella uncle vanilla velvet vinegar violin volcano voyage waffle walnut walrus weather
    whisper window wizard yoghurt zebra
    """.split()
)
