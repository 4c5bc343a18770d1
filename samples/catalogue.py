"""What the shop sells: eight categories of products with names and prices."""

from dataclasses import dataclass
from typing import Final

_BRANDS: Final = (
    "Nordvik", "Lumen & Co", "Casa Verde", "Arbor", "Kestrel",
    "Halden", "Pico", "Solveig", "Tern", "Marlowe",
)  # fmt: skip
_VARIANTS: Final = ("", ", black", ", sand", ' "Plus"', ", set of 2", " (2025)")


@dataclass(frozen=True, slots=True)
class Category:
    """A category, its lowest and highest price in whole units, and its kinds of product."""

    name: str
    lowest: int
    highest: int
    nouns: tuple[str, ...]


CATEGORIES: Final = (
    Category("Electronics", 15, 899, (
        'Monitor, 27"', "Wireless Earbuds", "USB-C Charger, 65 W", "Mechanical Keyboard",
        "Bluetooth Speaker", "Webcam, 1080p", 'Tablet Sleeve, 11"', "Power Bank",
        "Smart Plug", "E-Reader", "Action Camera", "Desk Lamp with Dimmer",
    )),
    Category("Home & Kitchen", 6, 249, (
        "Frying Pan, 28 cm", '"Barista" Coffee Grinder', "Chef's Knife", "Cutting Board, oak",
        "French Press", "Linen Tablecloth", "Storage Jar", "Bread Tin", "Water Carafe",
        "Spice Rack", "Electric Kettle", "Cotton Apron",
    )),
    Category("Clothing", 9, 179, (
        "Merino Sweater", "Rain Jacket", "Crew Socks, 3 pairs", "Denim Shirt", "Linen Trousers",
        "Wool Scarf", "Leather Belt", "Running Shorts", "Beanie", "Cotton T-Shirt",
        "Fleece Vest", "Pyjamas",
    )),
    Category("Books", 7, 59, (
        "Cookbook: One Pot", "Atlas of Rivers", "Bread, Salt and Time", "A Short History of Tea",
        "Night Train to Turku", "The Gardener's Year", "Sewing for Beginners",
        '"The Lighthouse", a novel', "Birds of Europe", "Chess Endings", "City Walks",
        "Songs for Ukulele",
    )),
    Category("Sports & Outdoors", 8, 399, (
        "Yoga Mat, 6 mm", "Trekking Poles", "Dry Bag, 20 l", "Camping Stove", "Bike Light",
        "Climbing Chalk", "Sleeping Bag", "Kettlebell, 12 kg", "Swim Goggles",
        "Insulated Bottle", "Head Torch", "Jump Rope",
    )),
    Category("Toys & Games", 5, 119, (
        "Wooden Train", "Puzzle, 1,000 pieces", "Card Game", "Building Blocks", "Kite",
        "Plush Fox", "Marble Run", "Modelling Clay", "Board Game: Harbour", "Water Colours",
        "Magnet Tiles", "Yo-Yo",
    )),
    Category("Beauty & Health", 4, 89, (
        "Hand Cream", "Shampoo Bar", "Beard Oil", "Lip Balm, SPF 30", "Bath Salt",
        "Electric Toothbrush", "Face Towel", "Sun Lotion", "Hair Brush", "Massage Ball",
        "Soap, lavender", "Nail Kit",
    )),
    Category("Garden", 5, 329, (
        "Pruning Shears", "Seed Mix, meadow", "Watering Can, 9 l", "Raised Bed", "Bird Feeder",
        "Garden Gloves", "Solar Light", "Compost Bin", "Hose Reel", "Plant Pot, 30 cm",
        "Rake", "Rain Gauge",
    )),
)  # fmt: skip

_CHARM: Final = (0, 49, 90, 95, 99, 99, 99, 99)


@dataclass(frozen=True, slots=True)
class Product:
    """A row of products.csv; ``price`` in cents."""

    product_id: str
    category: str
    name: str
    price: int


def product(number: int, chance: int) -> Product:
    """Return the product of a number from 0 on; ``chance`` (any integer from 0 on) sets its price.

    The names repeat when every noun has been combined with every brand and every variant.
    """
    place, kind = divmod(number, len(CATEGORIES))
    category = CATEGORIES[kind]
    place, noun = divmod(place, len(category.nouns))
    variant, brand = divmod(place, len(_BRANDS))
    name = f"{_BRANDS[brand]} {category.nouns[noun]}{_VARIANTS[variant % len(_VARIANTS)]}"
    # Squared chance: more cheap products than expensive ones.
    share = chance % 1000
    whole = category.lowest + (category.highest - category.lowest) * share * share // 1_000_000
    cents = whole * 100 + _CHARM[chance // 1000 % len(_CHARM)]
    return Product(f"P{1001 + number}", category.name, name, cents)
