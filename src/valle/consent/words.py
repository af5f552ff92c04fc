"""Words for challenges: short, common, and phonetically distinct.

The phonemes of any two words differ by an edit distance of 3 or more, so that no word is taken for
another.
"""

WORDS: tuple[str, ...] = tuple(
    """
    acorn album anchor animal apron armchair atlas autumn bagpipe ballet bamboo banjo bathtub
    bedtime beehive birthday biscuit blanket blossom bonfire bracelet breakfast buffalo butter
    cabbage cactus camera canyon carpet cathedral ceiling chicken chimney circus clarinet clover
    coconut coffee compass copper cricket crystal cucumber cupboard curtain daisy desert diamond
    dolphin dragon driftwood earring elbow elephant engine evening falcon firewood flamingo
    flower football forest freckle furnace galaxy garlic giraffe glacier goblet golden
    grandfather grapefruit gravel guitar hammock harbor hazelnut hedgehog holiday honey horizon
    iceberg igloo island ivory jacket jasmine jelly jigsaw juniper kangaroo kettle kingdom
    lagoon lantern lavender lemon library lobster lullaby magnet mailbox mango marble melody
    monkey moonlight mountain mushroom music napkin necklace needle notebook nutmeg ocean
    octopus olive onion orange orchard ostrich oyster palace pancake panther parade parsley
    peacock pelican pencil penguin piano picnic pigeon pillow pirate popcorn prairie pumpkin
    puppet puzzle pajamas quarter quilt raccoon radish railway rainbow raven river robin
    sandwich satchel scarecrow scissors seagull shadow shepherd skeleton snowflake soldier
    sparrow spider spinach sponge squirrel stadium statue sunset swimmer table teapot temple
    theater thistle thunder tiger timber toboggan tomato tractor treasure trumpet tulip turkey
    umbrella uncle vanilla velvet vinegar violin volcano voyage waffle walnut walrus weather
    whisper window wizard yogurt zebra
    """.split()
)
