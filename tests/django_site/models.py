"""The models of the site: fields, lengths and indexes as its own code has them."""

import uuid

from django.conf import settings
from django.db import models


class BaseModel(models.Model):
    """What every table of the site has."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class Categorie(BaseModel):
    nom = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(max_length=120, unique=True)
    description = models.TextField(blank=True, default="")
    texte_description_ia = models.TextField(blank=True, default="")
    meta_description = models.CharField(max_length=160, blank=True, default="")
    ordre = models.IntegerField(default=0)

    class Meta:
        app_label = "django_site"
        db_table = "category_categorie"


class SousCategorie(BaseModel):
    categorie = models.ForeignKey(Categorie, on_delete=models.CASCADE)
    nom = models.CharField(max_length=100)
    slug = models.SlugField(max_length=120, unique=True)
    description = models.TextField(blank=True, default="")
    texte_description_ia = models.TextField(blank=True, default="")
    meta_description = models.CharField(max_length=160, blank=True, default="")
    mots_cles = models.TextField(blank=True, default="")
    ordre = models.IntegerField(default=0)

    class Meta:
        app_label = "django_site"
        db_table = "subcategory_souscategorie"
        unique_together = [("categorie", "nom")]


class Ville(BaseModel):
    nom = models.CharField(max_length=100, db_index=True)
    slug = models.SlugField(max_length=120, unique=True)
    code_postal_principal = models.CharField(max_length=5, db_index=True)
    codes_postaux = models.JSONField(default=list)
    departement = models.CharField(max_length=3, db_index=True)
    region = models.CharField(max_length=100, db_index=True)
    lat = models.FloatField()
    lng = models.FloatField()
    population = models.PositiveIntegerField(default=0)
    texte_description_ia = models.TextField(blank=True, default="")
    meta_description = models.CharField(max_length=160, blank=True, default="")

    class Meta:
        app_label = "django_site"
        db_table = "location_ville"
        indexes = [
            models.Index(fields=["nom", "code_postal_principal"], name="ville_nom_cp"),
            models.Index(fields=["departement", "region"], name="ville_dep_region"),
        ]


class Entreprise(BaseModel):
    siren = models.CharField(max_length=9, unique=True)
    siren_temporaire = models.BooleanField(default=False)
    enrichi_insee = models.BooleanField(default=False)
    enrichi_dirigeants = models.BooleanField(default=False)
    siret = models.CharField(max_length=14, null=True, blank=True, db_index=True)
    nom = models.CharField(max_length=255, db_index=True)
    nom_commercial = models.CharField(max_length=255, blank=True, default="")
    adresse = models.TextField(blank=True, default="")
    code_postal = models.CharField(max_length=5, db_index=True, blank=True, default="")
    ville_nom = models.CharField(max_length=100, db_index=True, blank=True, default="")
    naf_code = models.CharField(max_length=6, db_index=True, blank=True, default="")
    naf_libelle = models.CharField(max_length=255, blank=True, default="")
    telephone = models.CharField(max_length=20, blank=True, default="")
    email_contact = models.EmailField(max_length=254, blank=True, default="")
    site_web = models.URLField(max_length=200, blank=True, default="")
    stripe_customer_id = models.CharField(max_length=255, db_index=True, blank=True, default="")
    domain = models.CharField(max_length=255, blank=True, default="")
    latitude = models.DecimalField(max_digits=10, decimal_places=7, null=True, blank=True)
    longitude = models.DecimalField(max_digits=10, decimal_places=7, null=True, blank=True)
    logo = models.CharField(max_length=200, blank=True, default="")
    main_image = models.CharField(max_length=200, blank=True, default="")
    nom_proprietaire = models.CharField(max_length=255, blank=True, default="")
    contacts = models.JSONField(default=dict, blank=True)
    google_place_id = models.CharField(max_length=255, db_index=True, blank=True, default="")
    original_title = models.CharField(max_length=255, blank=True, default="")
    is_active = models.BooleanField(default=True, db_index=True)

    class Meta:
        app_label = "django_site"
        db_table = "enterprise_entreprise"
        indexes = [
            models.Index(fields=["siren", "is_active"], name="ent_siren_active"),
            models.Index(fields=["ville_nom", "code_postal"], name="ent_ville_cp"),
            models.Index(fields=["naf_code"], name="ent_naf"),
            models.Index(fields=["google_place_id"], name="ent_place"),
            models.Index(fields=["latitude", "longitude"], name="ent_lat_lng"),
            models.Index(fields=["siren_temporaire", "enrichi_insee"], name="ent_temp_insee"),
            models.Index(fields=["enrichi_dirigeants"], name="ent_dirigeants"),
        ]


class ProLocalisation(BaseModel):
    entreprise = models.ForeignKey(Entreprise, on_delete=models.CASCADE)
    sous_categorie = models.ForeignKey(SousCategorie, on_delete=models.CASCADE)
    ville = models.ForeignKey(Ville, on_delete=models.CASCADE)
    zone_description = models.TextField(blank=True, default="")
    texte_long_entreprise = models.TextField(blank=True, default="")
    meta_description = models.CharField(max_length=160, blank=True, default="")
    date_derniere_generation_ia = models.DateTimeField(null=True, blank=True)
    faq = models.JSONField(default=list, blank=True)
    note_moyenne = models.FloatField(default=0)
    nb_avis = models.IntegerField(default=0)
    score_global = models.FloatField(default=0, db_index=True)
    is_verified = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True, db_index=True)

    class Meta:
        app_label = "django_site"
        db_table = "enterprise_prolocalisation"
        unique_together = [("entreprise", "sous_categorie", "ville")]
        indexes = [
            models.Index(fields=["score_global", "note_moyenne"], name="pl_score_note"),
            models.Index(fields=["is_active", "is_verified"], name="pl_active_verified"),
        ]


class Dirigeant(BaseModel):
    entreprise = models.ForeignKey(Entreprise, on_delete=models.CASCADE)
    type_dirigeant = models.CharField(max_length=50)
    nom = models.CharField(max_length=255, blank=True, default="")
    prenoms = models.CharField(max_length=255, blank=True, default="")
    date_de_naissance = models.CharField(max_length=10, blank=True, default="")
    nationalite = models.CharField(max_length=100, blank=True, default="")
    siren_dirigeant = models.CharField(max_length=9, blank=True, default="")
    denomination = models.CharField(max_length=255, blank=True, default="")
    qualite = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        app_label = "django_site"
        db_table = "enterprise_dirigeant"


class AvisDecrypte(BaseModel):
    entreprise = models.ForeignKey(Entreprise, on_delete=models.CASCADE)
    pro_localisation = models.ForeignKey(ProLocalisation, on_delete=models.CASCADE)
    texte_brut = models.TextField(blank=True, default="")
    texte_decrypte = models.TextField(null=True, blank=True)
    source = models.CharField(max_length=50, default="google")
    has_reviews = models.BooleanField(default=False, db_index=True)
    review_source = models.CharField(max_length=255, null=True, blank=True)
    review_rating = models.FloatField(null=True, blank=True)
    review_count = models.IntegerField(null=True, blank=True)
    job_id = models.CharField(max_length=128, db_index=True, blank=True, default="")
    ai_payload = models.JSONField(default=dict, blank=True)
    date_generation = models.DateTimeField(auto_now_add=True)
    date_expiration = models.DateTimeField(null=True, blank=True)
    needs_regeneration = models.BooleanField(default=False, db_index=True)
    confidence_score = models.FloatField(default=0)
    avis_decryptes_json = models.JSONField(default=list, blank=True)
    synthese_points_forts = models.TextField(null=True, blank=True)
    tendance_recente = models.TextField(null=True, blank=True)
    bilan_synthetique = models.TextField(null=True, blank=True)

    class Meta:
        app_label = "django_site"
        db_table = "reviews_avisdecrypte"
        indexes = [
            models.Index(fields=["entreprise", "pro_localisation"], name="ad_ent_pl"),
            models.Index(fields=["pro_localisation", "has_reviews"], name="ad_pl_reviews"),
            models.Index(fields=["needs_regeneration", "date_expiration"], name="ad_regen_exp"),
            models.Index(fields=["-date_generation"], name="ad_generation"),
        ]


class Avis(BaseModel):
    entreprise = models.ForeignKey(Entreprise, on_delete=models.CASCADE)
    pro_localisation = models.ForeignKey(ProLocalisation, on_delete=models.CASCADE)
    titre = models.CharField(max_length=255, blank=True, default="")
    texte = models.TextField()
    note = models.IntegerField()
    date_avis = models.DateTimeField()
    auteur_nom = models.CharField(max_length=100, blank=True, default="")
    auteur_email = models.EmailField(blank=True, default="")
    source = models.CharField(max_length=20, default="client")
    statut = models.CharField(max_length=20, default="en_attente", db_index=True)
    avis_decrypte = models.ForeignKey(
        AvisDecrypte, on_delete=models.SET_NULL, null=True, blank=True
    )
    moderation_par = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True
    )
    moderation_date = models.DateTimeField(null=True, blank=True)
    moderation_commentaire = models.TextField(blank=True, default="")
    reponse_entreprise = models.TextField(blank=True, default="")
    masque = models.BooleanField(default=False)
    ordre = models.IntegerField(default=0)

    class Meta:
        app_label = "django_site"
        db_table = "reviews_avis"


class ImportLog(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    import_type = models.CharField(max_length=20)
    status = models.CharField(max_length=20, default="PENDING")
    file_name = models.CharField(max_length=255)
    file = models.FileField(upload_to="imports/%Y/%m/%d/")
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True
    )
    generate_ai_content = models.BooleanField(default=False)
    ai_generation_started = models.BooleanField(default=False)
    ai_generation_completed = models.BooleanField(default=False)
    total_rows = models.IntegerField(default=0)
    success_rows = models.IntegerField(default=0)
    error_rows = models.IntegerField(default=0)
    errors = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "django_site"
        db_table = "core_importlog"
