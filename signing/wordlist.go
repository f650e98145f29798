package signing

// wordList is the 1024 words of Words, in alphabetical order. It stays as it is:
// two programs that show a digest must show the same words, so another list
// needs another domain.
const wordList = `
absorb acorn acrobat active advice airport album alert algebra almanac almond alphabet anchovy ancient answer antelope antenna
anvil appendix apple apricot apron archery armchair article artist aspen asteroid athlete atlas atom attend attic august aurora
author autumn avocado award backpack badger ballad balloon bamboo banana bandage banjo banquet bargain baritone barley baseball
basil bathrobe bathtub beaker bedroom beetle beetroot behold bellows belong birch biscuit bison blanket blossom boat bobbin bold
bonfire bonnet bonus book borrow boulder bounce bowtie bracelet bracken bramble branch bravery bravo bread breeze brick bridle
bright brioche broccoli brochure broth bucket buffalo bugle bulletin burrito butter buzzard cabbage cabin cactus calcium calendar
calm camel campfire canary candle canvas canyon caravan cardamom cardigan careful carnival carriage carve cascade cashew casual
cavern ceiling celery cello central century ceremony chalk champion chance charcoal charity cheerful cheese cheetah chemist cherry
chestnut chipmunk chisel chowder chrome chutney cinnamon citadel citrus clarinet classic cliff climber clinic closet cloud cobbler
cocoa collect column comedy comfort compass composer concept concrete copper coral corduroy cork cosmos costume cosy cottage couch
county couplet courier courtesy coyote crater cream credit cricket crimson crossing crouton crumpet crystal cube cucumber cufflink
culture cupboard curious curlew curtain cushion custard cyclist cygnet cylinder cypress daffodil daisy damson dance dawn daybreak
decade december decimal degree delight delta denim describe desert designer detail diagonal dialogue diameter diamond diary
dignity dingo dinosaur discount distance diver dockyard doctor dolphin dome domino doorbell doormat dormouse double dozen dragon
drift drizzle drum duet dumpling dune dusk eagle earth easel ebony echo eclipse editor effort elegance elephant eleven ember
embrace emerald emotion endive energy engineer enjoy ensemble episode equator espresso essay estuary evening event evolve example
exercise expand explain explorer fabric factory faithful falcon famous farmer farmyard fennel ferret festival fiction fiddle finch
firefly fireside flag flame flamingo flapjack floor fluent fluffy foam focus football footnote footpath forest formula fortune
forward fossil foundry fountain foxglove fragrant freedom friday friend fritter frozen frugal fudge furnace galaxy gallery gangway
gardener garland garlic gazelle gecko generous genius genuine geranium gerbil gesture geyser gift ginger giraffe glacier glass
gleam glove goblet golden goldfish gondola gong graceful grammar granite granola grape green griffin grocer grotto guest guide
guitar gulf gymnast habit haddock halibut hallway hamster handbag handy harbour harmony harp harvest haybale haystack hazel
headlamp headset healthy heather hedgehog helium helpful heritage heron herring hexagon hickory hidden highway hillside hinge
holiday holly honesty horizon hostel house humble humour hundred hurry hydrogen iceberg icicle idea idiom image impala improve
income indigo inlet inspire instinct integer interval inventor invite iris iron island jade jaguar jasmine jelly jersey jeweller
jigsaw journal joystick jubilee jump junction jungle juniper justice kangaroo keen kerbside kestrel keyboard kindling kindness
kingdom kiosk kitten knapsack koala ladle ladybird lagoon lake lamp language lantern laptop laughter laurel lava lavender lawyer
learn legend leisure lemonade lemur lens lentil leopard lettuce liberty library lifeboat lilac limerick linen linguist lithium
little lizard llama lobster locker lofty logic loyalty lozenge luggage lunch lupin mackerel magenta magician magnolia mahogany
mailbox mainsail mammoth manatee mandolin mango manner mantis maple marathon marigold marina marjoram marsh mask mason matrix
mattress maxim meadow mechanic medal medley meerkat memory merchant mermaid message meteor mighty milepost milk million mimosa
mindful minnow minstrel miracle mirror mist modern molecule moment mongoose monsoon month moon moorland moose morning mosaic
mulberry museum mushroom muslin mustang mutual mystery napkin narwhal nature nebula necklace nectar netball nickel night nitrogen
noble north notebook notice novel november nursery nutmeg nylon oasis oboe ocean ocelot octagon october octopus office oleander
olive omelette onion opal opera optician orange orbit orchard oregano ornament osprey ostrich otter outcome outdoor outline oven
overcoat oxygen pacific painting palace pamphlet pancake panda panther paper paprika paradise parasol parcel parrot parsnip
passport pastry patience pavement pavilion peach peacock peanut pebble pegasus pelican pendulum penguin pentagon pergola petunia
pewter phoenix physics pianist piano piccolo pickle picnic picture pigeon pilot pinecone pitcher pixie pizza plaster plateau
platform platinum platypus pleasant plough plover podium poet polka polygon poncho poodle popcorn poplar porpoise porridge
porthole portion portrait postcard potato pottery prairie prefer prepare pretzel primrose prism process producer profile prologue
proposal protect proud province pudding puffin pulley pulsar pumpkin puppy purchase purse puzzle pyramid quail quality quantum
quarry quarter question quiet quince rabbit raccoon radar radiator radish raft rail rainbow raincoat raindrop rainfall raisin
rapids rating raven ravioli recent recipe recorder refrain refresh region regular reindeer relax repair request respect result
return reward rhythm ridge rigging ripple risotto road robin robust romance roof rope rosemary ruby rucksack ruler rumba rural
safety saffron saga salad sandal sandpit sandwich sapphire sardine satchel saturday saucer sauna sausage sawmill scallop scarf
scarlet scenario schedule scholar school science scissors scooter scout screen scythe seagull seahorse search seashell seaside
season seaweed seesaw select sentence series sesame seven shawl shelf shelter shepherd sherbet shipyard shirt shovel shrimp signal
signpost silicon silver similar sincere sketch skylark slate sleeve slipper slogan smile smooth snowdrop snowfall snowman soap
social society sock sofa solution sombrero sonata soprano sorrel spaniel spectrum speedy sphere spinach spiral splendid sponge
spoon spring spruce square squirrel stadium stairway stamp standard stanza starfish station steel stirrup stork strategy strength
strudel student studio subject subway success sugar suitcase sultana summer sunbeam sunrise sunset sunshine superb support
surveyor sushi swan sycamore symbol symphony syrup system table tadpole tailor talent tape target tarragon tassel taxi teapot
tenant tennis tent terrace terrier textbook thaw theatre theme thermos thistle thorough thread thrive thrush thunder thursday
tiger timely tiny titanium toast toffee toolbox topaz torch tortilla toucan tourist towel tractor train tranquil travel tray
treasure treetop trellis triangle tricycle triumph trolley trombone trophy tropical trousers trout truffle tugboat tulip tundra
tungsten turbine turmeric turnpike turtle tutor tweed tweezers twelve twenty twilight twin umbrella uniform unique universe unlock
unusual urban urchin useful valuable value vanilla variety varnish vase vault vehicle velvet vendor veranda verify verse version
viaduct vibrant vigorous village vinegar violet visible visitor vital vivid volcano voyage waffle wagon waiter wallaby wallet
walrus waltz warbler wardrobe watch waterway wayside website welcome wheat whisper willow windmill wisdom wise wisteria wombat
wonder wool workshop world worthy yacht yarn youth zebra zenith zephyr zest zigzag
`
